// Package oauth lets people in with an OAuth 2.0 access token (RFC 6749) that
// an issuer such as Keycloak or Entra ID gave them.
//
// It implements:
//
//   - RFC 7628: the SASL mechanism OAUTHBEARER, and XOAUTH2 beside it, which has
//     no standard
//   - RFC 6750: bearer tokens
//   - RFC 7515, RFC 7517 and RFC 7519: signed tokens (JWT), which are checked
//     here, by keys that the issuer publishes
//   - RFC 9068: which of those are access tokens
//   - RFC 7662: introspection, which asks the issuer about each token instead
//   - OpenID Connect Discovery 1.0: where the issuer has its keys
//
// go-jose checks signatures. The keys are kept here and not by a library for
// the clients of OpenID Connect: those ask the issuer again for every
// signature that is wrong, which whoever can connect could have them do, read
// whatever it answers to the end, and check ID tokens, which these are not.
//
// It leaves out encrypted tokens (RFC 7516), tokens that are bound to a key of
// the client's (RFC 8705, RFC 9449), which are refused, since here is nothing
// to prove that key with, and issuers without TLS.
package oauth
