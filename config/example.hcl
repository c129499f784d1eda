# An annotated configuration of kpopd. It is HCL, version 2: one argument a line,
# durations are strings with a unit ("90s", "10m"), and comments begin with #.
#
# `kpopd check -config FILE` says whether a file is right. -config also takes a
# directory, whose *.hcl files are read in name order as if they were one.
# A relative file name is relative to the directory of the file it stands in.
#
# What is commented out shows other choices, or parts of a later release, which
# this one refuses; those are marked (later).
#
# The shortest useful file is: hostname, tls, kerberos with its keytab, maildrop.

# The server's name in greetings, in APOP's timestamp, and the host of its
# Kerberos service.
hostname = "pop.corp.example"

# Where the replay cache and the locks are; several processes of one user may
# share it. It is made if the server may make it.
state_dir = "/var/lib/kpopd"

# The SASL mechanisms, in the order of preference. Absent: every safe one that
# the blocks below make usable. USER and PASS come with PLAIN. SCRAM-SHA-256,
# with channel binding (-PLUS) and without, is one of them while every user has
# {SCRAM-SHA-256} or {PLAIN} in the file of users: some clients prefer it to
# PLAIN and give up when it fails. Named here, it is offered as soon as anybody
# has, or a directory has a secret_attribute. Only when they are named there are
#   SCRAM-SHA-1  which needs {SCRAM-SHA-1} or {PLAIN}
#   CRAM-MD5     which needs {CRAM-MD5} or {PLAIN}
#   APOP         which needs {PLAIN}, passwords that are stored in the clear
#   LOGIN        which is PLAIN for clients that do not know it
#   GSS-SPNEGO   which is Kerberos for clients of Windows and Cyrus SASL that do
#                not speak GSSAPI: without a layer, only the replay cache protects
#                its tickets
# All that use passwords or secrets only over TLS, unless login_without_tls is "any".
# OAUTHBEARER and XOAUTH2 come with an authenticator "oauth".
#mechanisms = ["GSSAPI", "SCRAM-SHA-256-PLUS", "PLAIN"]

# ------------------------------------------------------------------- listeners
# Without any listener block there are these three; "kpop" only with a kerberos
# block.

listener "pop3" {
  address  = ":110"     # or "192.0.2.1:110", "[2001:db8::1]:110", "unix:/path"
  protocol = "pop3"     # pop3 | kpop | lmtp; (later) admin
  tls      = "starttls" # off | starttls | implicit. pop3 and kpop: starttls
}

listener "pop3s" {
  address  = ":995"
  protocol = "pop3"
  tls      = "implicit"

  # Each listener may add:
  login_without_tls = "tickets"  # none | tickets | any: what may cross in the clear;
                                 # "any" is for passwords, and SCRAM counts as one
  login_timeout     = "60s"      # to log in, 5s to 10m
  autologout        = "10m"      # of silence after that, at least 10m
  #mechanisms          = ["GSSAPI"]              # instead of those above; for kpop only
                                                 # EXTERNAL, the ticket's own user
  #client_certificates = "request"               # none | request | require; absent: request
                                                 # where EXTERNAL takes them, else none
  #allow_from          = ["192.0.2.0/24", "2001:db8::/32"]
  #language            = "de"                    # of replies after LANG *: en | de | es | fr | ja
  #utf8_messages       = "surrogate"             # as-is | surrogate | refuse, see below
  #sdps                = true                    # see below
  #sdps_separators     = "@+"                    # the last in a name counts
  #proxy_protocol_from = ["192.0.2.5"]           # (later) must send a PROXY header

  # Other rules for the clients of some networks. The first network that holds
  # the client's address decides; what it does not say is as above.
  #network "guests" {
  #  from              = ["192.0.2.128/25", "2001:db8:99::/48"]
  #  mechanisms        = ["GSSAPI"] # no passwords from there; not for kpop
  #  login_without_tls = "none"
  #}
}

listener "kpop" {
  address  = ":1109"
  protocol = "kpop"
  tls      = "starttls"
}

# utf8_messages is about mail with characters beyond ASCII in its header, for clients
# that do not ask for UTF-8 mode (RFC 6856), as hardly any does. "as-is", which is the
# default, sends it as it is: much mail from before UTF-8 is so, and clients have always
# been sent it. "surrogate" sends a message in ASCII of the same size in its place
# (RFC 6858): names and subjects are encoded, an address that is not ASCII becomes one
# that is invalid, and other such fields are left out; where that needs more room, so are
# signatures and traces such as Received, and where it finds none, _ stands for what is
# not ASCII. With "refuse", and for a header of more than 64 KiB, the answer is
# -ERR [UTF8], and the message stays.

# SDPS is Demon's Standard Dial-up POP3 Service, for hosts that collect the mail of
# all their users. The account is the host's: a login as user@host takes the
# password, or the ticket, of host, and sees of its maildrop what was sent to user,
# by the local part of the envelope's recipient; host alone sees all. Both have the
# one lock and the same unique-ids. *ENV tells a message's envelope, as the delivery
# agent left it above the topmost Received: Return-Path or X-Envelope-From, and
# X-Envelope-To, X-Original-To, Delivered-To or Envelope-To. One that does not tell
# its recipient is in the whole maildrop only. Where a rule makes the maildrop's
# name of sdps_user (see accounts), that user has it for himself, whole. On such a
# listener each name with a separator is user@host: others need one of their own.

# Mail comes in by LMTP, from a mail transfer agent such as Postfix
# (mailbox_transport = lmtp:unix:/run/kpopd/lmtp.sock). Whoever can connect can
# deliver: to a Unix socket, which socket_mode and socket_group are for, or on
# loopback; from other machines over TLS only, with a certificate that client_ca_file
# signs. cmd/kpopd/DELIVERY.md has the rest.
#listener "lmtp" {
#  address      = "unix:/run/kpopd/lmtp.sock"
#  protocol     = "lmtp"
#  socket_mode  = "0660"    # absent: as the umask leaves it
#  socket_group = "postfix" # absent: the server's own
#
#  # Each may be left out:
#  recipients         = "users"     # users | maildrops | rules: who has mail here, see accounts
#  recipient_delimiter = "+"        # alice+lists@... is alice; absent: alice+lists
#  max_message_size   = "128MiB"    # of the text; not less than the agent's own limit
#  max_recipients     = 1000        # of one message; the rest is for the next one
#  data_timeout       = "10m"       # for a whole message to come
#  over_quota         = "temporary" # 452, the sender tries again; permanent: 552
#  share_messages     = false       # true: all recipients of a message share one file, by
#                                   # hard links; it does not tell them apart, nor does *ENV
#}

# (later) The administrator's tools.
#listener "admin" {
#  address  = "unix:/run/kpopd/admin.sock"
#  protocol = "admin"
#}

# ------------------------------------------------------------------------- TLS

tls {
  # More than one is chosen by SNI; the first is for clients that send none.
  certificate {
    cert_file = "/etc/kpopd/tls.crt"
    key_file  = "/etc/kpopd/tls.key"
  }
  min_version = "1.2" # or "1.3"

  # Those who sign certificates for clients: roots, and intermediates too, which
  # clients then need not show. What they have revoked is in lists, PEM or DER,
  # which are read again when they change. With any list, every authority on the
  # way to a client needs one that is current: where it ended, or is missing,
  # nobody logs in by certificate, and clients are told of a temporary failure.
  #client_ca_file   = "/etc/kpopd/clients.pem"
  #client_crl_files = ["/var/lib/kpopd/root.crl", "/var/lib/kpopd/people.crl"]
}

# -------------------------------------------------------------------- Kerberos

kerberos {
  keytab          = "/etc/krb5.keytab"
  service         = "pop"              # tickets for pop/<any host in the keytab> only
  realms          = ["CORP.EXAMPLE", "PARTNER.EXAMPLE"] # absent: those of the keytab
  channel_binding = "allow"            # none | allow | require; KPOP has none in any case
  security_layers = ["none", "integrity", "confidentiality"]
  max_skew        = "5m"
  # Active Directory and Samba write into a ticket which account its client has
  # and which groups that is in (the PAC). It becomes groups and attributes, see
  # accounts below. use-if-valid takes tickets without one, and with one that is not
  # right, in no groups; a rule that keeps a group out needs "require". That of MIT's
  # KDC is right, and has no groups. Clients of other realms speak for their own domain only, and only
  # where the SIDs of ours are given (Get-ADDomain | Select DomainSID).
  pac             = "use-if-valid"     # ignore | use-if-valid | require
  #domain_sids    = ["S-1-5-21-1004336348-1177238915-682003330"]

  # MIT's rules for local names (krb5.conf(5)), and a file with more of them, of
  # which the default realm's count. The first that applies makes local_user; where
  # no account rule matches, that is the maildrop, and without one there is none.
  #auth_to_local      = ["RULE:[1:$1@$0](.*@PARTNER\\.EXAMPLE)s/@.*//", "DEFAULT"]
  #auth_to_local_file = "/etc/krb5.conf"
}

# -------------------------------------------------------------- authenticators
# Passwords go down this chain in the order of the blocks. "Not mine" goes on, a
# wrong password stops, and an outage is never a bypass.

# Dovecot passwd-file lines, user:{SCHEME}hash. Schemes: ARGON2ID, BLF-CRYPT,
# SHA512-CRYPT (openssl passwd -6 makes its hashes), SHA256-CRYPT, SCRAM-SHA-256,
# SCRAM-SHA-1, CRAM-MD5, PLAIN. Nobody but the owner and the group may have access
# to the file.
authenticator "file" "services" {
  path = "/etc/kpopd/users" # "kpopd user hash" makes the part behind the colon
  #cache = "1h" # a right password is remembered so long, as a keyed hash, while its line stands; "0s": never
}

# A directory. No password is ever written here: bind_password_file names a file
# that holds it. The entry's attributes and groups reach expressions whatever the
# proof was: after a password, by filter; after a ticket, or a password of the
# file above, by lookup_filter. An entry that is disabled lets nobody in, and a
# directory that does not answer is an outage for all. Of several servers the
# first that answers is asked.
#authenticator "ldap" "corp" {
#  urls               = ["ldaps://dc1.corp.example", "ldaps://dc2.corp.example"] # or ldap://, ldapi://%2Frun%2Fslapd%2Fldapi
#  # or those that DNS names (_ldaps._tcp, else _ldap._tcp on its port for TLS; ldap:// for
#  # StartTLS), the site's first. Each must be a host of the domain, with a certificate of
#  # its own name from one of the authorities:
#  #discover          = "ldaps://corp.example"
#  #site              = "Berlin"
#  ca_file            = "/etc/kpopd/ca.pem"
#  bind_dn            = "cn=kpopd,ou=services,dc=corp,dc=example"
#  bind_password_file = "/etc/kpopd/ldap.secret"
#  #bind_keytab        = "/etc/kpopd/ldap.keytab" # instead of the two: by a ticket (GSSAPI)
#  #bind_principal     = "kpopd@CORP.EXAMPLE"     # absent: the only one of that keytab
#  #krb5_conf          = "/etc/krb5.conf"         # says where the KDCs are; absent: this one
#  base_dn            = "ou=people,dc=corp,dc=example"
#  filter             = "(&(objectClass=person)(uid=${user}))" # values are escaped for you
#  lookup_filter      = principal != "" ? "(krbPrincipalName=${principal})" : "(uid=${user})"
#  attributes         = ["mailbox"] # reach expressions as attr.mailbox
#
#  # Each may be left out:
#  disabled_attribute = "mailboxDisabled" # TRUE there keeps out, besides the usual attributes
#  secret_attribute   = "kpopdSecret" # see below; needs bind_dn or bind_keytab
#  scram_iterations   = 16384  # of most keys for SCRAM in there
#  nested_groups      = false  # true: groups of groups too; one search in Active Directory, else one for each
#  starttls           = true   # false: passwords cross ldap:// in the clear
#  timeout            = "5s"   # of one search or bind at one server
#  pool_size          = 8      # connections of a server for searches, and as many for binds
#  cache              = "30s"  # a right password is remembered so long, as a keyed hash
#  cache_negative     = "1m"   # and a wrong one, which is not sent again meanwhile
#  lockout_threshold  = 10     # the directory locks an account at so many failed binds
#  lockout_window     = "15m"  # within this time; from here come fewer. 0: it never locks
#}
# Each block counts for itself: where several, or one of the kind "kerberos", check
# passwords of the same accounts, divide the threshold among them.
# With bind_keytab the host in each URL must be the name that the directory has in
# Kerberos, ldap/dc1.corp.example, in the realm of bind_principal. The ticket is
# bound to the TLS connection, and there is no security layer: use ldaps or starttls.
# secret_attribute is for CRAM-MD5, APOP and SCRAM, which a bind cannot check. Its
# values are {SCRAM-SHA-256}..., {SCRAM-SHA-1}..., {CRAM-MD5}... or {PLAIN}... as in
# the file of users, or SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey as in an
# authPassword (RFC 5803); others are passed over. Let only the service read it. It
# is looked up by filter, or with bind_as by lookup_filter, and reaches neither rules
# nor logs. Unknown users look like those with scram_iterations and a salt of 16
# octets, which is what "kpopd user hash" makes; for SCRAM a name is spelled as in
# the directory, capitals included.
#
# For Active Directory, or Samba: base_dn = "dc=corp,dc=example", and so that every
# name of somebody (alice, CORP\alice, alice@corp.example, the user principal name,
# each address) and his ticket lead to one maildrop:
#     filter        = "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName=${trimsuffix(lower(regex("^(?i:CORP\\\\)?([^\\\\]*)$", user)[0]), "@corp.example")})(userPrincipalName=${user})(mail=${user})(proxyAddresses=smtp:${user})))"
#     lookup_filter = "(&(objectCategory=person)(objectClass=user)(sAMAccountName=${trimsuffix(principal, "@CORP.EXAMPLE")}))"
#     attributes    = ["sAMAccountName"]
# with the account rule
#     maildrop = lower(attr.sAMAccountName)
# A name that is two people's lets neither in. Leave out of the filter what people
# may write of themselves. In a forest of several domains ask the global catalogue,
# "ldaps://dc1.corp.example:3269", and leave sAMAccountName out: each domain has its own.
# Without a search, who can bind as one of these names is proven by it; such a
# directory is the last of the chain, because it knows no unknown users:
#     bind_as       = ["${user}@corp.example"] # instead of filter; or "CORP\\${user}", "uid=${user},ou=people,dc=..."

# Passwords that a KDC judges. The KDC has to prove that it knows this server's
# key, pop/HOSTNAME in the keytab: one that anybody put in its place does not. The
# login name is a principal's only component, perhaps with @REALM behind it.
# Clients that can should show a ticket instead, which reveals no password.
#authenticator "kerberos" "corp" {
#  realm = "CORP.EXAMPLE" # of the users and of the keytab
#
#  # Each may be left out:
#  krb5_conf         = "/etc/krb5.conf" # says where the KDCs are, else DNS does
#  keytab            = "/etc/krb5.keytab" # absent: that of the kerberos block
#  timeout           = "5s"   # of one check
#  cache             = "30s"  # as in a directory above, and the next three
#  cache_negative    = "1m"
#  lockout_threshold = 10     # at how many failures the KDC locks a principal. 0: never
#  lockout_window    = "15m"
#}

# OAuth tokens, by the mechanisms OAUTHBEARER and XOAUTH2. Tokens that issuer has
# signed (JWT) are checked here, by keys that it publishes; those of another are
# left to the next authenticator. With introspection_url it is asked about each
# token instead. Who has no token is not asked for by an issuer that is down.
#authenticator "oauth" "sso" {
#  issuer     = "https://sso.corp.example"   # as in the token's "iss", to the last slash
#  audience   = "pop"                        # must be among the token's
#  user_claim = "preferred_username"         # absent: sub; an e-mail address only where
#                                            # the issuer lets nobody choose his own
#
#  # Each may be left out:
#  jwks_url           = "https://sso.corp.example/keys" # absent: discovery
#  scopes             = ["pop"]              # must all be among the token's
#  groups_claim       = "groups"             # reach expressions as groups
#  claims             = ["department"]       # reach expressions as attr.department
#  require_at_jwt     = false                # true: only tokens of the type at+jwt (RFC 9068);
#                                            # false: others too that have a scope or client_id,
#                                            # which ID tokens have not, and no nonce or at_hash
#  algorithms         = ["RS256", "ES256"]   # absent: RS, PS, ES and EdDSA
#  ca_file            = "/etc/kpopd/ca.pem"
#  timeout            = "5s"                 # of one request to the issuer
#
#  # Instead of jwks_url, algorithms and require_at_jwt:
#  #introspection_url  = "https://sso.corp.example/introspect"
#  #client_id          = "kpopd"
#  #client_secret_file = "/etc/kpopd/oauth.secret"
#  #cache              = "30s"               # an answer about a token is good so long
#}

# Client certificates, for the mechanism EXTERNAL; needs client_ca_file above. The
# first of these fields that a certificate has is the user's name: the user
# principal name of Active Directory and the mail address, both of the
# subjectAltName, and the common name. Whoever has two different ones, or none,
# is refused. A name such as alice@corp.example is the user as it is; see the
# account rules for its maildrop.
#authenticator "certificate" "clients" {
#  user_from = ["upn", "email", "cn"] # absent: these, in this order
#}

# -------------------------------------------------------------------- accounts
# Whose maildrop is which. The first rule that matches decides. Expressions know
#
#   user       the name that was proven: the login name, the user_claim of a token or, for a ticket of the
#              keytab's own realm, its principal's only component, else the
#              whole principal
#   domain     what follows the '@' of user, if there is one
#   principal  and realm, of a ticket, or of a password that a KDC judged
#   local_user what auth_to_local makes of the principal
#   mechanism  how the proof was made: "USER", "GSSAPI", "EXTERNAL" (a client
#              certificate), "KPOP" (by USER or EXTERNAL) ..., or "LMTP" where mail is
#              delivered. Then user is the login name that is like the whole address, or
#              else its local part, as "file" or "ldap" authenticators know it, or the local
#              part of an address that none knows; and domain that of the address
#   sdps_user  whose mail a login of SDPS asks for, and sdps_host whose account that is
#   listener   the label of the listener, and address of the client
#   groups     from the directory: the DN of each group, and its name ("pop-users").
#              Ask for the DN where more than the administrator can make groups.
#              Those of a token's groups_claim are among them, as they are written,
#              and from the PAC of a ticket SIDs, such as "S-1-5-21-...-1105"
#   attr.NAME  from the directory: of several values the first in byte order; from
#              the claims of a token, unless the directory has the same; of a
#              client certificate: subject and issuer (as in RFC 4514), serial
#              and fingerprint (SHA-256), both in lower-case hexadecimal; of the PAC
#              of a ticket: sid, the account's SID, which is never given to another,
#              and of the keytab's own realm pac_upn and pac_account (sAMAccountName)
#
# and lower upper trimsuffix split join replace regex contains basename sha256
# env file. A rule that uses an attr that the entry lacks, local_user where there is
# none, or a regex that does not match, does not match. No slash of a value becomes
# one of the name. "kpopd explain NAME -config FILE" says what each rule makes of
# somebody, and why.
#
# Whom no rule matches, or without any account block: whoever has a login name,
# or a ticket of the keytab's own realm and one component, has the maildrop of
# that name. A rule whose maildrop is "" keeps people out.

account {
  when     = realm == "PARTNER.EXAMPLE"
  maildrop = "partner/${lower(split("@", principal)[0])}"
}

# Who may act as somebody else, the authzid of SASL or the USER of KPOP: true (as
# anybody), a name or a list of names; and from where, which must be said. "unix"
# is the Unix sockets of this machine, ["0.0.0.0/0", "::/0"] everywhere else. The
# one acted as has the maildrop that the rules give to that name.
account {
  when               = user == "archiver" && mechanism == "GSSAPI"
  maildrop           = "archiver"
  allow_authzid      = ["alice", "bob"]
  allow_authzid_from = ["192.0.2.0/24", "unix"]
}

# Whom a certificate proves as alice@corp.example.
#account {
#  when     = mechanism == "EXTERNAL" && lower(domain) == "corp.example"
#  maildrop = lower(split("@", user)[0])
#}

account {
  when     = contains(["root", "postmaster"], user)
  maildrop = ""
}

# Each rule may say on what terms it gives a maildrop. login_delay: after a login
# to the maildrop, by whomever and at whichever server of this state_dir, another
# within that time gets [LOGIN-DELAY], if its proof is right. A login that is
# refused does not count; one whose session breaks off does. CAPA says LOGIN-DELAY.
# deletion: what becomes of messages that QUIT removes. With "hide" they stay for
# IMAP, and are never shown by POP3 again: the file kpopd-uidl of the Maildir says
# so. With "quarantine" they are in its directory kpopd-quarantine, where neither
# shows them; what was there so long goes with the next "kpopd expire", or
# sweep_interval. "kpopd undelete" puts both back, with their unique-ids.
# mark_seen: what was retrieved by RETR, not TOP, has the flag \Seen after QUIT.
# quota: what the maildrop and its folders may hold when mail is delivered here, by LMTP
# or "kpopd deliver"; other agents have their own. A message that would be too much is
# refused, see over_quota. Usage is in the Maildir's maildirsize, as Courier, Exim and Dovecot
# write it; what is in quarantine does not count.
account {
  maildrop = lower(user)
  #quota          = "2GiB" # 1MiB to 65536GiB; absent: none
  #quota_messages = 100000
  #login_delay = "5m"         # 1s to 24h; absent: none
  #deletion    = "quarantine" # remove | hide | quarantine; absent: remove
  #quarantine  = "14d"        # "1d" to "3660d"; for deletion = "quarantine"
  #mark_seen   = true         # absent: false
}

# ------------------------------------------------------------------- retention
# After how many days from its delivery a message is removed, whether or not it
# was fetched; the first block that names a maildrop decides, and what none names
# stays. It is about maildrops, not people: who removes old mail meets nobody who
# logs in. CAPA says EXPIRE: before login the least of all, afterwards that of the
# maildrop. Without any such block it says nothing. A message is as old as its name
# and its file say, whichever is the younger; folders of IMAP are left alone.
#
# "kpopd expire -config FILE -dry-run" prints what is due, and without -dry-run removes
# it; a maildrop that is open is left for the next time. With sweep_interval the
# server does it itself. The log and the audit file have a line for each message.
# cmd/kpopd/RETENTION.md has the details.
#sweep_interval = "12h" # 1m to 168h; absent: only "kpopd expire" removes

retention {
  maildrops = ["partner/*", "archiver"] # '*' is any text without a slash; absent: all
  expire    = "30d"                     # "1d" to "3660d"
}

retention {
  expire = "never"
}

# -------------------------------------------------------------------- maildrop
# What precedes the first ${ is the root of the store; nothing leads out of it.
#
# save_crlf: mail that kpopd delivers is kept with CRLF line ends, as it goes out.
# Without TLS large messages are then sent by the kernel, without being copied;
# they take some 2 % more space. Other deliverers' mail stays as it is.

maildrop "maildir" {
  path      = "/srv/mail/${maildrop}/Maildir"
  save_crlf = false

  # The Maildir++ folders of a Maildir are maildrops too, and locked on their own:
  # with "+", "alice+Lists.Go" is .Lists.Go in alice's Maildir (on disk in modified
  # UTF-7), and only an account rule that writes the "+" leads there.
  #folder_separator = "+" # + | = | ~ | #; absent: no folders

  # Where more than this share of the unique-ids that were served last, and ten of
  # them, would be others for the same messages, as after a restore that renamed
  # files, clients would fetch it all again. Nobody is let in until the unique-ids
  # are back, or "kpopd uidl accept" says that it is so. "100%": everybody is.
  uidl_change_limit = "20%"
}

# ------------------------------------------------------------------- the rest

limits {
  connections             = 20000
  connections_per_address = 100     # a /64 for IPv6
  connections_per_user    = 20      # sessions of somebody who has been proven
  memory_before_login     = "64MiB" # of long AUTH lines and tickets of all clients
}

# Where the lock of each maildrop is; absent: locks in state_dir. Servers on several
# machines that share the mail need one directory for all, on NFS, version 4 best,
# mounted alike and without nolock and local_lock. Nobody but the server's user may
# write to it, and it stays where it is while a server runs.
#locks {
#  directory = "/net/mail/kpopd-locks"
#}

# cmd/kpopd/REASONS.md says what the reason in the line of a refusal means.
log {
  level  = "info" # debug | info | warn | error
  format = "json" # text | json; absent: text
  file   = "/var/log/kpopd/kpopd.log" # absent: standard error
}

# Guessing of passwords, by user and address (/64 for IPv6); a user everywhere has
# five times, an address with all its users ten times as many failures. What is
# beyond looks like a wrong password. A user who logged in from an address before
# is kept out of it by his own failures there alone. With tickets, exchanges that
# their principal leaves unfinished count for him, and wrong tickets by address.
throttle {
  enabled             = true
  failures_per_minute = 20
  delay               = "1s"  # before the answer to the fourth failure of a user at an
  max_delay           = "10s" # address, doubled for each further one up to this. 0s: none
}

# The record of logins and refusals, of who acted as whom and by which rule, and of
# what was removed: one JSON object a line, in a file that only grows. SIGHUP opens
# it anew, for rotation. A session does not wait for it; but who acts as somebody
# else is let in only when that has been written. Without this block the log alone
# says so.
audit {
  file = "/var/log/kpopd/audit.log"
}

# Or one file for each maildrop, as in /var/mail. Other programs may deliver to the
# file and read it, if they lock it in the same ways.
#
# format: how a line that begins with "From " is told from the beginning of a
# message. It cannot be seen in a file, so it is that of the delivery agents:
# "mboxrd", where ">From " is quoted too, serves for most; "mboxo", where it is not;
# "mboxcl" and "mboxcl2", which have a Content-Length.
# uidl: "x-uidl" takes the unique-id from that header field; "uw" makes it of X-IMAP
# or X-IMAPbase and X-UID, as UW's and Panda's ipop3d did. A message without gets a
# digest of what mail programs do not change; "digest" looks at no field. "popa3d",
# "tpop3d" and "qpopper" compute what those servers showed.
# locks: any of "fcntl", "flock", "dotlock", and "dotlock_try", which goes without
# a lock file where the directory does not let us make one.
# rewrite: "auto" removes messages by a new file, where that keeps owner, mode and
# attributes and a dotlock keeps others away; "in-place" never does, for programs
# that keep the file open. Either way a crash loses nothing.
# uidl_change_limit: as for Maildirs, where another uidl gives other unique-ids.
#     maildrop "mbox" {
#       path              = "/var/mail/${maildrop}"
#       format            = "mboxrd"
#       uidl              = "x-uidl"
#       locks             = ["fcntl", "dotlock"]
#       lock_timeout      = "30s" # then the maildrop is in use; 1s to 10m
#       rewrite           = "auto"
#       uidl_change_limit = "20%"
#     }
