#!/bin/sh
# past.sh DIR PORT AGO LIFE USER PASSWORD SERVICE
#
# Writes to standard output a credentials cache in which USER holds a ticket
# for SERVICE that a KDC on the realms of DIR issued AGO seconds before now for
# LIFE seconds. KDC and client run under faketime(1), on 127.0.0.1:PORT.
set -eu
umask 077
PATH=$PATH:/usr/sbin:/sbin
dir=$1 port=$2 ago=$3 life=$4 user=$5 password=$6 service=$7
tmp=$(mktemp -d)
kdc=
trap 'test -z "$kdc" || kill "$kdc"; rm -rf "$tmp"' EXIT

past() { faketime -f "-${ago}s" "$@"; }

sed "s/kdc_tcp_listen = .*/kdc_tcp_listen = 127.0.0.1:$port/" "$dir/kdc.conf" >"$tmp/kdc.conf"
{
	cat "$dir/krb5.conf"
	printf '[realms]\n  EXAMPLE.TEST = {\n    kdc = 127.0.0.1:%s\n  }\n' "$port"
} >"$tmp/krb5.conf"
# Without kdc_timesync the client takes no other clock than this one.
sed -i 's/^\[libdefaults\]/&\n  udp_preference_limit = 1\n  kdc_timesync = 0/' "$tmp/krb5.conf"
export KRB5_CONFIG="$tmp/krb5.conf" KRB5_KDC_PROFILE="$tmp/kdc.conf" KRB5CCNAME="FILE:$tmp/ccache"

# The KDC says on a pipe that it is up. timeout ends it whatever becomes of
# this script, and passes a signal on to what faketime started.
mkfifo "$tmp/log"
timeout 60 faketime -f "-${ago}s" krb5kdc -n -r EXAMPLE.TEST -r PARTNER.TEST 2>"$tmp/log" >/dev/null &
kdc=$!
exec 3<"$tmp/log"
while IFS= read -r line <&3; do
	case $line in
	*'commencing operation'*) break ;;
	esac
done
cat <&3 >/dev/null &

printf '%s\n' "$password" | past kinit -l "${life}s" "$user" >&2
past kvno "$service" >&2
cat "$tmp/ccache"
