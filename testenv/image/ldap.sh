#!/bin/sh
# ldap.sh DIR PLAIN TLS
#
# Makes the directory of dc=example,dc=test in DIR and becomes its OpenLDAP
# server, in the foreground, on the address PLAIN (ldap, with StartTLS), on
# the address TLS (ldaps) and on the socket DIR/ldapi. The certificate comes
# from KPOPD_TLS_CA, KPOPD_TLS_CERT and KPOPD_TLS_KEY, each PEM; without them
# a self-signed one is made, whose certificate is DIR/ca.pem. KPOPD_LDAP_KEYTAB is
# a keytab in base64 with the key of ldap/localhost, for SASL GSSAPI, by which
# pop/localhost is the service entry.
set -eu
umask 077
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
dir=$1 plain=$2 tls=$3
mkdir -p "$dir/db"
cd "$dir"

certificate() {
	if [ -n "${KPOPD_TLS_CERT:-}" ]; then
		printf '%s\n' "$KPOPD_TLS_CA" >ca.pem
		printf '%s\n' "$KPOPD_TLS_CERT" >cert.pem
		printf '%s\n' "$KPOPD_TLS_KEY" >key.pem
	elif [ ! -e cert.pem ]; then
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
			-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
			-keyout key.pem -out cert.pem 2>openssl.err || { cat openssl.err >&2; exit 1; }
		cp cert.pem ca.pem
	fi
}

configure() {
	cat >slapd.conf <<-EOF
		include /etc/ldap/schema/core.schema
		include /etc/ldap/schema/cosine.schema
		include /etc/ldap/schema/inetorgperson.schema
		include $here/kpopd.schema
		modulepath /usr/lib/ldap
		moduleload back_mdb
		moduleload memberof
		moduleload ppolicy
		pidfile $dir/slapd.pid
		TLSCACertificateFile $dir/ca.pem
		TLSCertificateFile $dir/cert.pem
		TLSCertificateKeyFile $dir/key.pem
		TLSVerifyClient allow
		sasl-host localhost
		sasl-cbinding tls-endpoint
		authz-regexp uid=pop/localhost,cn=gssapi,cn=auth cn=kpopd,ou=services,dc=example,dc=test
		authz-regexp uid=pop/localhost,cn=example.test,cn=gssapi,cn=auth cn=kpopd,ou=services,dc=example,dc=test
		authz-regexp gidNumber=$(id -g)[+]uidNumber=$(id -u),cn=peercred,cn=external,cn=auth cn=admin,dc=example,dc=test
		database mdb
		directory $dir/db
		suffix dc=example,dc=test
		rootdn cn=admin,dc=example,dc=test
		rootpw admin-password
		index objectClass,uid,krbPrincipalName,mail eq
		overlay memberof
		overlay ppolicy
		ppolicy_use_lockout
		access to attrs=userPassword by anonymous auth by * none
		access to attrs=kpopdSecret by dn.exact=cn=kpopd,ou=services,dc=example,dc=test read by * none
		access to * by dn.exact=cn=kpopd,ou=services,dc=example,dc=test read by self read by * none
	EOF
}

# load reads the entries; their passwords become salted hashes on the way.
load() {
	while IFS= read -r line; do
		case $line in
		'userPassword: '*) printf 'userPassword: %s\n' "$(slappasswd -n -s "${line#userPassword: }")" ;;
		*) printf '%s\n' "$line" ;;
		esac
	done <"$here/directory.ldif" >directory.ldif
	slapadd -q -f slapd.conf -l directory.ldif
}

certificate
configure
if [ ! -e ready ]; then
	load
	: >ready
fi
if [ -n "${KPOPD_LDAP_KEYTAB:-}" ]; then
	printf %s "$KPOPD_LDAP_KEYTAB" | base64 -d >ldap.keytab
	printf '[libdefaults]\n  default_realm = EXAMPLE.TEST\n  dns_canonicalize_hostname = false\n  rdns = false\n' >krb5.conf
	export KRB5_KTNAME="$dir/ldap.keytab" KRB5_CONFIG="$dir/krb5.conf"
fi
socket=$(printf %s "$dir/ldapi" | sed 's,/,%2F,g')
exec slapd -d none -f slapd.conf -h "ldap://$plain/ ldaps://$tls/ ldapi://$socket/"
