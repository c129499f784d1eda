package main

// about is the help of the whole.
const about = `popbench WORKLOAD [flags] HOST:PORT is one run of a workload against one server:
as many clients as are asked for do the same again and again, first for a while
uncounted. Each result is a table, or with -json a line of JSON, which "popbench
plot" draws. Content is checked as it comes: octets against LIST, lines against
STAT, and digests against a -manifest.

With -pid, CPU time, memory (PSS) and context switches of the server's processes
are read from /proc, which takes root's rights. The generator says when it needed
so much CPU time that it limits the result.

Sessions lock a maildrop: give at least as many -users as -clients. A server's
limits of connections and logins of one address may have to be raised.`

// A description is what help says of a workload.
type description struct{ usage, example, more string }

func (d description) help() string { return d.example + "\n\n" + d.more }

var workloads = map[string]description{
	"login": {"sessions of login, STAT and QUIT",
		"popbench login -user user%04d -users 100 -password-file secret -tls stls -ca ca.pem mail.example:110",
		"An operation is a session. With -tls resumed each client resumes the TLS session of\nits last one; the result says how many handshakes were short."},
	"check": {"sessions of login, STAT, UIDL and QUIT",
		"popbench check -user user%04d -users 100 -password-file secret mail.example:110",
		"An operation is a session of a client that leaves mail on the server and finds\nnothing new. The lines of UIDL are counted."},
	"list": {"sessions of login, LIST and QUIT",
		"popbench list -user user%04d -users 100 -password-file secret mail.example:110",
		"An operation is a session."},
	"first": {"as check, each account once: maildrops that the server has never seen",
		"popbench first -user fresh%04d -users 500 -clients 1 -password-file secret mail.example:110",
		"The run ends when all accounts were used."},
	"retr": {"messages: each client retrieves those of one session round and round",
		"popbench retr -user user%04d -users 8 -pipeline 16 -password-file secret mail.example:110",
		"An operation is a message. Those that come again are compared by the octets that\ncross the wire, or by their digests where there is a -manifest."},
	"drain": {"messages: each account is emptied by RETR, DELE and QUIT",
		"popbench drain -user full%04d -users 50 -password-file secret mail.example:110",
		"ALL MAIL OF THE ACCOUNTS IS LOST. An operation is a message; the time includes\nlogins and QUIT. The run ends when all accounts are empty."},
	"gssapi": {"login by SASL GSSAPI with a ticket, STAT and QUIT",
		"popbench gssapi -user user%04d -users 100 -ccache cc-%04d -service pop@mail.example mail.example:110",
		"Each user's cache of the kind FILE holds the ticket for the service already, as\nkvno(1) gets it: no KDC is asked. Each login makes an AP-REQ of its own."},
	"kpop": {"login by KPOP with a ticket, STAT and QUIT",
		"popbench kpop -user user%04d -users 100 -ccache cc-%04d -service pop@mail.example mail.example:1109",
		"As gssapi, by sendauth. The proof of the server is read, and not checked."},
	"idle": {"sessions that are held, and the memory of each",
		"popbench idle -user user%05d -users 10000 -pid 4711 -password-file secret 127.0.0.1:110",
		"An operation is a session. Memory is read once the server is quiet, and some of the\nsessions have to answer NOOP then. What the kernel has for sockets is not in it. More\nthan 20,000 come from several addresses of loopback."},
	"abuse": {"as login, without and with clients that abuse the server",
		"popbench abuse -slow 1000 -silent 1000 -user user%04d -users 100 -password-file secret 127.0.0.1:110",
		"The rate alone is the mean of one run before and one after; all three last -duration.\nOn loopback the others come from 127.1.0.1 and so on, 50 of them from each address."},
}
