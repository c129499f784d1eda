// Package lmtp takes mail from a mail transfer agent and delivers it, by the
// Local Mail Transfer Protocol: a reply for each recipient, none of them
// positive before the message is durably in his maildrop.
//
// Implemented:
//
//   - RFC 2033, LMTP: LHLO, replies per recipient
//   - RFC 5321, what LMTP takes from SMTP, with Return-Path and Received
//   - RFC 1870, SIZE; RFC 1652 and 6152, 8BITMIME; RFC 2920, PIPELINING
//   - RFC 2034 and 3463, enhanced status codes; RFC 3848, "with LMTPS"
//   - RFC 3030, CHUNKING, without BINARYMIME, which POP3 could not send on
//   - RFC 3207, STARTTLS
//   - RFC 6531, SMTPUTF8
//   - RFC 9422, LIMITS RCPTMAX
//
// Left out: AUTH, since clients are known by socket, network or certificate;
// DSN (RFC 3461), which the agent that asks for a final delivery sends itself.
//
// Why this is not built on a library: go-smtp 0.25.1 bounds the lines of
// commands and of messages by one number, so that either messages with long
// lines are cut off or commands without an end fill the memory; does not find
// the end of a message whose last line ends with CR CR LF, and takes the
// commands behind it for text; drops the CR of a line that begins with ".CR";
// reads what is beyond the limit without one; wants a domain in every address
// (RFC 5321 §4.5.1: <Postmaster>); and takes connections from listeners of its
// own, past the limits and the drain of package server.
package lmtp
