// Package config reads kpopd's configuration: HCL native syntax, version 2, in
// one file or in a directory of *.hcl files.
//
// [Load] decodes, defaults and checks everything before any part of the server
// is built, and reports all independent mistakes at once as [Diagnostics]. What
// it does not do is look at the world: whether a named file can be read or an
// address be bound is found out by whoever builds the parts, who reports it at
// the same place with [File.Errorf].
//
// Each block is a struct here; each option is documented on its field, with its
// default. The blocks are
//
//	listener "NAME"              Listener, with network "NAME" blocks
//	tls                          TLS, with certificate blocks
//	kerberos                     Kerberos
//	authenticator "KIND" "NAME"  Authenticator: file, ldap, oauth, certificate
//	account                      Account
//	maildrop "KIND"              Maildrop: maildir, mbox
//	throttle limits log audit    Throttle, Limits, Log, Audit
//
// # Expressions
//
// The arguments when, maildrop and allow_authzid of an account, path of a
// maildrop, and filter and lookup_filter of an LDAP authenticator are
// expressions. They are checked when the file is loaded and evaluated at each
// login with what is then known about the client, [Facts]. All other arguments
// are evaluated once, and may use functions but no variables.
//
// The functions are
//
//	lower(s) upper(s)        fold ASCII letters, and only those: a name that
//	                         folds like another one in some script is another
//	trimsuffix(s, suffix)    s without suffix
//	split(sep, s)            a list of strings
//	join(sep, list)          a string
//	replace(s, old, new)     every old replaced; old is no pattern
//	regex(pattern, s)        the first match of an RE2 pattern, unanchored: a
//	                         string, or a list (object) of the pattern's groups
//	                         (named groups); no match: the rule does not match
//	contains(list, s)        whether s is in list
//	basename(s)              what follows the last slash
//	sha256(s)                64 hexadecimal digits
//	env(name[, default])     an environment variable
//	file(path)               the text of a file, without final line ends
//
// env and file are called once, when the configuration is loaded, and neither
// they nor the pattern of regex take a value from a login. Values that they
// return are in no message, and snippets of source lines that call them or
// that set something called a password, secret, token or key are masked.
package config
