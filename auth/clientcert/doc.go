// Package clientcert proves people by the certificates that their clients show
// when TLS begins: the chain to an authority (RFC 5280 §6), the lists of what
// authorities have revoked, and the field that holds the user's name.
//
// TLS has shown that the client has the key, and nothing else. A certificate is
// checked here at each login, not only when TLS began: a resumed session brings
// a certificate of long ago along.
//
// Left out: OCSP, lists that are fetched, delta lists and those that cover only
// some certificates, lists signed by somebody other than the certificates'
// issuer, and constraints on names other than DNS, mail, address and URI, which
// keep out everybody below where they are critical.
package clientcert
