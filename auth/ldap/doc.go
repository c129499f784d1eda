// Package ldap checks passwords against an LDAP directory such as OpenLDAP or
// Active Directory, and looks up people who were proven by other means.
//
// It implements, on top of go-ldap:
//
//   - RFC 4511: simple bind (§4.2), search (§4.5), StartTLS (§4.14)
//   - RFC 4513: the rules of authentication, above all that a bind without a
//     password proves nothing (§5.1.2)
//   - RFC 4514 and RFC 4515: names and filters as text, and their escaping
//   - draft-behera-ldap-password-policy-10: the answers of OpenLDAP's ppolicy
//   - RFC 5803: keys for SCRAM in an attribute
//   - RFC 2782: servers that DNS names
//   - Active Directory: the codes in its diagnostics, its groups of groups, the
//     primary group, and values by ranges (MS-ADTS); RFC 2696, a search by pages
//
// go-ldap has no deadlines once a connection is open, no pool and no second
// server. Those are made here: each operation has a deadline and a bound on
// what the server may answer, each server two pools of connections, and a
// server that does not answer is passed over until it does again.
//
// It leaves out referrals, which are never followed, and SASL binds, but that of
// the service itself by ticket (GSSAPI, RFC 4752).
package ldap
