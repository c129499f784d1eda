package testenv

// LDAP is a running OpenLDAP server.
type LDAP struct{}
