// Package krb5 accepts Kerberos tickets: it is the server's side of the AP
// exchange, and the only package that knows the Kerberos library. It is a client
// too, where this server is one: [Passwords] are checked by a KDC, and a
// [ServiceLogin] shows itself to a directory.
//
// An [Acceptor] checks an AP-REQ against the keys of a [KeySource], usually a
// [Keytab], and yields a [Context]. On it stand [Acceptor.RecvAuth], which is
// the greeting of KPOP, and the SASL mechanism GSSAPI. A [Mint] is the other
// side for tests and trials: a realm without a KDC.
//
// Implemented are RFC 4120 §3.2 (AP exchange), §5.3 (tickets), §5.5 (AP-REQ and
// AP-REP) and §5.9 (KRB-ERROR), the enctypes of RFC 3962 and RFC 8009, and the
// server's side of the sendauth protocol of MIT Kerberos, versions 5 entirely
// and 4 as far as is needed to refuse it. GSSAPI is RFC 4752 on RFC 4121 (the
// framing of RFC 2743 §3.1, the checksum 0x8003, Wrap tokens) with the channel
// bindings of RFC 5929 and RFC 9266. GSS-SPNEGO is the same context negotiated
// by RFC 4178, with its MIC tokens, and no other mechanism.
//
// The client makes the AS exchange (RFC 4120 §3.1) over TCP, with an encrypted
// timestamp (§5.2.7.2) and the cookie of RFC 6113 where a KDC gives one, and the
// initiator's side of RFC 4752 without a security layer. It asks for tickets of
// services of its own realm only, without the TGS exchange, referrals, FAST and
// PKINIT.
//
// Left out on purpose: the enctypes that RFC 8429 and RFC 6649 retired, user to
// user authentication (RFC 4120 §3.7), the reading of authorization data other
// than its criticality and the PAC of Active Directory ([MS-PAC]), and a check
// of the transited path: tickets whose path no KDC checked are refused
// (RFC 4120 §2.7). Of GSS-API, delegated credentials, DCE style and all
// per-message tokens older than RFC 4121 are left out.
//
// The library decodes and ciphers, no more. Whatever could make it panic is
// checked first, and a panic that happens all the same is a refusal.
package krb5
