#!/bin/sh
# kdc.sh DIR LISTEN
#
# Makes the realms EXAMPLE.TEST and PARTNER.TEST in DIR and becomes their KDC,
# in the foreground, on the TCP address LISTEN. The tests run this script as
# it is where Debian's krb5-kdc is installed; the container image runs it as
# its entry point, so both worlds hold the same principals.
#
# DIR must be absolute. What DIR holds afterwards:
#   krb5.conf kdc.conf   the KDC's own configuration, also for kadmin.local
#   pop.keytab           pop/localhost and pop/pop.example.test
#   other.keytab         imap/localhost and host/localhost
#   partner.keytab       pop/localhost of PARTNER.TEST
#   ldap.keytab          ldap/localhost
set -eu
umask 077
PATH=$PATH:/usr/sbin:/sbin
dir=$1 listen=$2
mkdir -p "$dir"
cd "$dir"

export KRB5_CONFIG="$dir/krb5.conf" KRB5_KDC_PROFILE="$dir/kdc.conf"
aes='aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal'

configure() {
	# RC4 is permitted here, so that a service which has nothing else gets a
	# ticket for the refusal tests; no principal below has such a key.
	cat >krb5.conf <<-EOF
		[libdefaults]
		  default_realm = EXAMPLE.TEST
		  dns_lookup_kdc = false
		  dns_lookup_realm = false
		  dns_canonicalize_hostname = false
		  rdns = false
		  allow_rc4 = true
		  permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192 aes128-cts-hmac-sha256-128 arcfour-hmac
		[domain_realm]
		  localhost = EXAMPLE.TEST
		  .example.test = EXAMPLE.TEST
		  .partner.test = PARTNER.TEST
		[logging]
		  kdc = STDERR
	EOF
	{
		printf '[kdcdefaults]\n  kdc_listen = ""\n  kdc_tcp_listen = %s\n[realms]\n' "$listen"
		for realm in EXAMPLE.TEST PARTNER.TEST; do
			cat <<-EOF
				  $realm = {
				    database_name = $dir/$realm.db
				    key_stash_file = $dir/$realm.stash
				    acl_file = $dir/kadm5.acl
				    supported_enctypes = $aes
				    max_life = 1d
				    max_renewable_life = 7d
				    default_principal_flags = +preauth
				  }
			EOF
		done
	} >kdc.conf
	: >kadm5.acl
}

random() { od -An -tx1 -N24 /dev/urandom | tr -d ' \n'; }

# admin REALM runs the kadmin commands on its standard input. kadmin.local
# exits 0 whatever they came to, so its complaints are what is checked.
admin() {
	kadmin.local -r "$1" >"$1.out" 2>"$1.err"
	if grep ' while ' "$1.out" "$1.err" >&2; then
		exit 1
	fi
}

realms() {
	for realm in EXAMPLE.TEST PARTNER.TEST; do
		kdb5_util create -s -r "$realm" -P "$(random)" >/dev/null
	done
	out=$(random) in=$(random)
	admin EXAMPLE.TEST <<-EOF
		addprinc -pw $out krbtgt/PARTNER.TEST@EXAMPLE.TEST
		addprinc -pw $in krbtgt/EXAMPLE.TEST@PARTNER.TEST
		addprinc -pw alice-password alice
		addprinc -pw bob-password bob
		addprinc -pw dave-password dave
		addprinc -pw alice/admin-password alice/admin
		addprinc -pw brief-password -maxlife "5 seconds" brief
		addprinc -randkey pop/localhost
		addprinc -randkey pop/pop.example.test
		addprinc -randkey imap/localhost
		addprinc -randkey host/localhost
		addprinc -randkey ldap/localhost
		ktadd -q -norandkey -k $dir/pop.keytab pop/localhost pop/pop.example.test
		ktadd -q -norandkey -k $dir/other.keytab imap/localhost host/localhost
		ktadd -q -norandkey -k $dir/ldap.keytab ldap/localhost
	EOF
	admin PARTNER.TEST <<-EOF
		addprinc -pw $out krbtgt/PARTNER.TEST@EXAMPLE.TEST
		addprinc -pw $in krbtgt/EXAMPLE.TEST@PARTNER.TEST
		addprinc -pw carol-password carol
		addprinc -pw alice-password alice
		addprinc -randkey pop/localhost
		ktadd -q -norandkey -k $dir/partner.keytab pop/localhost
	EOF
}

configure
if [ ! -e ready ]; then
	realms
	: >ready
fi
exec krb5kdc -n -r EXAMPLE.TEST -r PARTNER.TEST
