// Package pop3 speaks the Post Office Protocol, version 3, and KPOP.
//
// It joins the three nouns: lines come from a server.Conn, an auth.Identity
// out of the authentication chain, Handler.Grant says what it may open, and
// Handler.Open turns that name into a locked *maildrop.Drop on which every
// command of the TRANSACTION state works.
//
// Implemented:
//
//   - RFC 1939, POP3, with TOP, UIDL, USER, PASS and APOP
//   - RFC 2449, CAPA, extended response codes, PIPELINING, IMPLEMENTATION,
//     EXPIRE, LOGIN-DELAY
//   - RFC 2595 §4, STLS
//   - RFC 3206, [SYS/TEMP], [SYS/PERM], [AUTH]
//   - RFC 5034, AUTH, with security layers (RFC 4422 §3.7); in KPOP, EXTERNAL
//     for the ticket's principal
//   - RFC 6856, UTF8 and LANG, with names and passwords in UTF-8, languages by
//     lookup (RFC 4647 §3.4), and surrogates (RFC 6858)
//   - RFC 8314 §4, no password in the clear unless told so
//   - SDPS, of Demon Internet: USER user@host, *ENV
//   - KPOP: a Kerberos 5 sendauth exchange in front of the session
package pop3
