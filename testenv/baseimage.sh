#!/bin/sh
# baseimage.sh: see to it that the Docker engine has debian:bookworm-slim.
#
# Does nothing when the image is there, pulls it when a registry answers, and
# otherwise builds it with mmdebstrap or debootstrap from the mirror, and with
# the apt proxy, that this machine itself uses. Needs root to build.
set -eu
name=debian:bookworm-slim
suite=bookworm
export PATH="$PATH:/usr/sbin:/sbin"

if docker image inspect $name >/dev/null 2>&1; then
	exit 0
fi
echo "baseimage.sh: pulling $name" >&2
if timeout 120 docker pull -q $name >&2; then
	exit 0
fi
echo "baseimage.sh: no registry; building $name from this machine's Debian mirror" >&2

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM

# sources prints what apt knows of packages, one a line:
# URI suite component. It reads both formats of apt's lists, through apt.
sources() {
	apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' | sort -u
}

# mirror prints the URI that holds a suite's main packages.
mirror() { sources | awk -v suite="$1" '$2 == suite && $3 == "main" { print $1; exit }'; }

main=$(mirror $suite)
{
	if [ -n "$main" ]; then
		echo "deb $main $suite main"
	fi
	for part in $suite-updates $suite-security; do
		uri=$(mirror $part)
		if [ -n "$uri" ]; then
			echo "deb $uri $part main"
		fi
	done
} >"$dir/sources.list"

# A proxy and the like that this machine's apt needs, the image's needs too.
apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$dir/apt.conf" || :

# Where apt knows no Debian mirror, as on Ubuntu, the tools use their own.
if command -v mmdebstrap >/dev/null; then
	if [ -n "$main" ]; then
		set -- "$dir/sources.list"
	else
		set --
	fi
	mmdebstrap --quiet --variant=minbase --aptopt="$dir/apt.conf" $suite "$dir/root.tar" "$@" >&2
elif command -v debootstrap >/dev/null; then
	debootstrap --variant=minbase $suite "$dir/root" $main >&2
	if [ -n "$main" ]; then
		cp "$dir/sources.list" "$dir/root/etc/apt/sources.list"
	fi
	cp "$dir/apt.conf" "$dir/root/etc/apt/apt.conf.d/99host"
	rm -rf "$dir/root/var/cache/apt/archives"/*.deb "$dir/root/var/lib/apt/lists"/*
	tar -C "$dir/root" --numeric-owner -cf "$dir/root.tar" .
else
	echo "baseimage.sh: neither mmdebstrap nor debootstrap; run: apt-get install --no-install-recommends mmdebstrap" >&2
	exit 1
fi
docker import "$dir/root.tar" $name >/dev/null
echo "baseimage.sh: built $name" >&2
