#!/bin/sh
# test.sh [-fuzztime 6s] [-staticcheck] [-no-install]
#
# Passes all of kpopd's tests, or says what fails, from nothing but Debian or
# Ubuntu with Go: it installs the Debian packages that the tests need and that
# are missing, with sudo where it is not run by root, and then runs
#
#   gofmt, go vet, with -staticcheck also staticcheck
#   CGO_ENABLED=0 go build
#   go test -race ./..., and the clients' tests again with the KDC in a container
#   where a Docker engine answers
#   testenv/bench -quick
#   every fuzz target of the tree for -fuzztime, two at a time
#
# The services of those packages are not started: the tests run servers of
# their own, on loopback, out of temporary directories. That of Active Directory
# has ports below 1024 and files of several owners, and Cyrus files of a user of
# its own, so that their tests pass only where root runs them. Where a Docker
# engine answers, the tests use it as well.
set -eu

fuzztime=6s staticcheck= install=yes
while [ $# -gt 0 ]; do
	case $1 in
	-fuzztime) fuzztime=$2 && shift ;;
	-staticcheck) staticcheck=yes ;;
	-no-install) install= ;;
	*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
	esac
	shift
done

cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
posted=
finish() {
	if [ -n "$posted" ]; then as_root rm -f "$policy"; fi
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s\n' "$*"; }
die() { printf 'test.sh: %s\n' "$*" >&2 && exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# What the tests call, by package. mmdebstrap makes the containers' base image
# where no registry answers.
packages='ca-certificates curl cyrus-clients cyrus-common dovecot-gssapi dovecot-imapd dovecot-pop3d faketime fetchmail gcc getmail6
	gsasl krb5-admin-server krb5-kdc krb5-user ldap-utils ldb-tools libauthen-sasl-perl libc6-dev
	libcourier-unicode4 libgssapi-perl libgssapi3-heimdal libidn12 libio-socket-ssl-perl libkrb5-dev
	liblockfile-bin libnet-ssleay-perl libsasl2-modules-db libsasl2-modules-gssapi-mit libwrap0 mpop mutt openssl perl
	procmail python3 samba-ad-dc samba-ad-provision sasl2-bin slapd socat strace'

# Debian installs one POP3 server and no other beside it, and one mail transfer
# agent, which may be this machine's own: of these packages the programs are
# unpacked, where testenv looks for them, and the libraries installed.
unpacked='courier-authlib courier-pop cyrus-pop3d exim4-daemon-light postfix'
unpacked_in=/usr/local/lib/kpopd-testenv

docker_answers() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

missing() {
	for p in $packages; do
		case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) in
		installed) ;;
		*) printf ' %s' "$p" ;;
		esac
	done
}

# install_packages installs what is missing. policy-rc.d, where none is there
# yet, keeps the new packages' services from being started.
install_packages() {
	command -v dpkg-query >/dev/null || die 'not Debian or Ubuntu; run with -no-install once you have the programs'
	if docker_answers; then
		docker image inspect debian:bookworm-slim >/dev/null 2>&1 || packages="$packages mmdebstrap"
		docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || packages="$packages docker-compose"
	fi
	new=$(missing)
	if [ -z "$new" ] && all_unpacked; then
		echo 'all there'
		return
	fi
	echo "installing$new"
	if [ ! -e "$policy" ]; then
		posted=yes
		printf '#!/bin/sh\nexit 101\n' >"$tmp/policy"
		as_root install -m 755 "$tmp/policy" "$policy"
	fi
	as_root apt-get update -qq
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $new >"$tmp/apt" 2>&1 ||
		{ cat "$tmp/apt" >&2 && die 'apt-get failed'; }
	if [ -n "$posted" ]; then
		as_root rm -f "$policy"
		posted=
	fi
	all_unpacked || unpack_packages
}

all_unpacked() { [ "$(cat "$unpacked_in/complete" 2>/dev/null)" = "$unpacked" ]; }

unpack_packages() {
	echo "unpacking $unpacked"
	mkdir "$tmp/debs"
	(cd "$tmp/debs" && apt-get download -qq $unpacked >"$tmp/apt" 2>&1) || { cat "$tmp/apt" >&2 && die 'apt-get failed'; }
	libraries=$(for deb in "$tmp"/debs/*.deb; do dpkg-deb -f "$deb" Depends; done | tr , '\n' | sed -n 's/^ *\(lib[^ |]*\).*/\1/p')
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $libraries >"$tmp/apt" 2>&1 ||
		{ cat "$tmp/apt" >&2 && die 'apt-get failed'; }
	for deb in "$tmp"/debs/*.deb; do as_root dpkg -x "$deb" "$unpacked_in"; done
	echo "$unpacked" >"$tmp/complete"
	as_root install -m 644 "$tmp/complete" "$unpacked_in/complete"
}

# fuzz_all builds one instrumented test binary a package that has targets, and
# runs its targets, two at a time, each with one worker, so that the same
# seconds are worth the same on two cores.
fuzz_all() {
	go list -f '{{.Dir}} {{.ImportPath}}' ./... >"$tmp/dirs"
	: >"$tmp/targets"
	while read -r dir pkg; do
		targets=$(cat "$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p')
		if [ -z "$targets" ]; then continue; fi
		bin=$tmp/$(echo "$pkg" | tr / _).test
		go test -c -fuzz=. -o "$bin" "$pkg" || return 1
		for target in $targets; do
			echo "$bin $dir $pkg $target" >>"$tmp/targets"
		done
	done <"$tmp/dirs"
	[ -s "$tmp/targets" ] || die 'no fuzz targets'
	echo "$(wc -l <"$tmp/targets") targets, $fuzztime each"
	cat >"$tmp/fuzz" <<'EOF'
# fuzz BIN DIR PACKAGE TARGET: one line when all is well, the log otherwise.
# Left alone, the fuzzer spends up to a minute on making one input smaller,
# which with one worker is all the time there is.
cd "$2" || exit 1
log=$1.$4.log

# late: the fuzzer's own deadline, met in the middle of a step, is all that
# went wrong; a finding or a hang names its input.
late() {
	[ "$(sed -n '/^--- FAIL/,$p' "$log" | grep -v -e '^--- FAIL' -e '^FAIL$' -e '^exit status' | tr -d ' \n')" = contextdeadlineexceeded ]
}

if timeout 600 "$1" -test.run='^$' -test.fuzz="^$4\$" -test.fuzztime="$fuzztime" -test.parallel=1 \
	-test.fuzzminimizetime=100x -test.fuzzcachedir="$cache/$3" >"$log" 2>&1 || late; then
	printf 'ok    %s %s: %s\n' "$3" "$4" "$(grep -o 'execs: [0-9]*' "$log" | tail -1)"
else
	printf 'FAIL  %s %s\n%s\n' "$3" "$4" "$(cat "$log")"
	exit 1
fi
EOF
	cache=$(go env GOCACHE)/fuzz fuzztime=$fuzztime xargs -P 2 -L 1 sh "$tmp/fuzz" <"$tmp/targets"
}

# failed collects what went wrong; the later steps run all the same.
failed=
step() {
	say "$1"
	shift
	start=$(date +%s)
	if ! ("$@"); then
		failed="$failed
  $*"
	fi
	echo "($(($(date +%s) - start)) s)"
}

format() {
	files=$(gofmt -l .)
	[ -z "$files" ] || die "gofmt would change: $files"
}

build() { CGO_ENABLED=0 go build -o "$tmp/kpopd" ./cmd/kpopd; }

# Go's own installation instructions put it there.
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || die 'Go is not installed: see https://go.dev/doc/install'

if [ -n "$install" ]; then
	say 'Debian packages'
	install_packages
fi
[ "$(id -u)" = 0 ] || say 'Not root: the tests against an Active Directory domain controller and against Cyrus will fail.'
docker_answers || say 'No Docker engine answers: the tests run their servers natively only.'
step 'gofmt' format
step 'go vet' go vet ./...
if [ -n "$staticcheck" ]; then
	step 'staticcheck' go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
fi
step 'go build, static' build
# Most tests wait for other programs most of the time. With the race detector a
# program sleeps for a second as it ends, and the tests start hundreds of them.
export GORACE=atexit_sleep_ms=0
step 'go test -race' env CGO_ENABLED=1 go test -race -timeout 15m -parallel 4 ./...
# The benchmark: the least of it, which shows that it works.
step 'bench' go run ./testenv/bench -quick
if docker_answers; then
	step 'clients with the KDC in a container' env CGO_ENABLED=1 KPOPD_TESTENV=docker \
		go test -race -count=1 -run '^(TestFetchmail|TestSendauth|TestRefusedKDC|TestOtherRealm|TestRotation)' ./cmd/kpopd
fi
step 'fuzz' fuzz_all

if [ -n "$failed" ]; then
	die "failed:$failed"
fi
say 'All tests passed.'
