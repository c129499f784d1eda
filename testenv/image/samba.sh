#!/bin/sh
# samba.sh DIR ADDRESS
#
# Makes the Active Directory domain AD.EXAMPLE.TEST in DIR, whose only domain
# controller, dc1, is to listen on ADDRESS of the loopback network: LDAP,
# the global catalogue, and the KDC, each on its own port. Certificate, key and
# authority come from KPOPD_TLS_CERT, KPOPD_TLS_KEY and KPOPD_TLS_CA, each PEM.
# Nothing is started. Passwords may be simple, and an account is locked at the
# fifth wrong one.
set -eu
umask 077
PATH=$PATH:/usr/sbin:/sbin
dir=$1 address=$2
mkdir -p "$dir/private/tls" "$dir/cache" "$dir/lock" "$dir/run" "$dir/state"
conf=$dir/smb.conf

printf '%s\n' "$KPOPD_TLS_CERT" >"$dir/private/tls/cert.pem"
printf '%s\n' "$KPOPD_TLS_KEY" >"$dir/private/tls/key.pem"
printf '%s\n' "$KPOPD_TLS_CA" >"$dir/private/tls/ca.pem"
cat >"$conf" <<-EOF
	[global]
	realm = AD.EXAMPLE.TEST
	workgroup = EXAMPLE
	netbios name = DC1
	server role = active directory domain controller
	server services = ldap, kdc
	interfaces = $address/8
	bind interfaces only = yes
	private dir = $dir/private
	lock directory = $dir/lock
	state directory = $dir/state
	cache directory = $dir/cache
	pid directory = $dir/run
	ncalrpc dir = $dir/ncalrpc
	winbindd socket directory = $dir/winbindd
	ntp signd socket directory = $dir/ntp
	binddns dir = $dir/dns
	log file = $dir/log
	tls cafile = tls/ca.pem
	tls certfile = tls/cert.pem
	tls keyfile = tls/key.pem
	[sysvol]
	path = $dir/state/sysvol
	[netlogon]
	path = $dir/state/sysvol/ad.example.test/scripts
EOF
samba-tool domain provision --configfile="$conf" --server-role=dc --dns-backend=NONE --realm=AD.EXAMPLE.TEST \
	--domain=EXAMPLE --host-name=dc1 --host-ip="$address" --quiet >"$dir/provision.log" 2>&1 ||
	{ cat "$dir/provision.log" >&2; exit 1; }
samba-tool domain passwordsettings set --configfile="$conf" --quiet --complexity=off --min-pwd-length=0 --min-pwd-age=0 \
	--max-pwd-age=0 --history-length=0 --account-lockout-threshold=5
