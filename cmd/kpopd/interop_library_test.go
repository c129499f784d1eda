package main

import (
	"strings"
	"testing"
)

// poplibScript is a session of Python's poplib: host, ports of the listeners
// pop3, pop3s and clear, CA file, user, password.
const poplibScript = `
import poplib, ssl, sys
pop3, pop3s, clear, ca, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)

def reading(p):
    count, size = p.stat()
    assert count == 3, count
    status, lines, _ = p.list()
    assert len(lines) == 3 and sum(int(l.split()[1]) for l in lines) == size, lines
    status, lines, _ = p.uidl()
    uids = [l.split()[1] for l in lines]
    assert len(set(uids)) == 3, lines
    assert p.uidl(2).split()[-1] == uids[1]
    status, lines, octets = p.retr(2)
    assert b'.dots' in lines and octets == int(p.list(2).split()[2]), (lines, octets)
    status, top, _ = p.top(2, 1)
    assert top == lines[:len(top)] and top[-1] == b'Line one', top
    p.dele(1)
    assert p.stat()[0] == 2
    p.rset()
    assert p.stat()[0] == 3
    p.noop()

p = poplib.POP3('localhost', int(pop3), timeout=50)
assert 'STLS' in p.capa() and 'USER' not in p.capa(), p.capa()
p.stls(context)
assert 'STLS' not in p.capa() and 'USER' in p.capa(), p.capa()
p.user(user)
p.pass_(password)
reading(p)
p.quit()

p = poplib.POP3_SSL('localhost', int(pop3s), context=context, timeout=50)
p.apop(user, password)
reading(p)
p.quit()

p = poplib.POP3('localhost', int(clear), timeout=50)
try:
    p.apop(user, 'wrong')
    raise AssertionError('APOP with a wrong secret')
except poplib.error_proto as e:
    assert str(e).startswith("b'-ERR [AUTH]"), e
p.apop(user, password)
reading(p)
for n in 1, 2, 3:
    p.dele(n)
p.quit()
print('done')
`

func TestPoplib(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	s.deliver(t, "bob", 3)
	runClient(t, s.world.Env(""), "", "python3", script(t, "pop.py", poplibScript),
		d.port(t, "pop3"), d.port(t, "pop3s"), d.port(t, "clear"), s.CA, "bob", bobPassword).exits(t, 0).says(t, "done")
	if left := s.messages(t, "bob"); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
	d.stop(t)
}

// perlScript is a session of Perl's Net::POP3, by USER, APOP or GSSAPI, with
// STLS or not: way, port, CA file or "", user, password.
const perlScript = `
use strict;
use warnings;
use Net::POP3;
use Authen::SASL;
my ($way, $port, $ca, $user, $password) = @ARGV;
my $p = Net::POP3->new('localhost', Port => $port, Timeout => 50) or die "connect: $@";
if ($ca) {
	$p->starttls(SSL_ca_file => $ca, SSL_verifycn_name => 'localhost') or die 'STLS: ', $p->message;
}
my $count;
if ($way eq 'USER') { $count = $p->login($user, $password) }
if ($way eq 'APOP') { $count = $p->apop($user, $password) }
if ($way eq 'GSSAPI') {
	$p->auth(Authen::SASL->new(mechanism => 'GSSAPI', callback => { user => $user }), '') or die 'AUTH: ', $p->message;
	($count) = $p->popstat;
}
defined $count or die "$way: ", $p->message;
$count == 2 or die "$count messages";
my $list = $p->list;
my $uidl = $p->uidl;
my $all = 0;
for my $n (1, 2) {
	my $text = join '', @{ $p->get($n) };
	$text =~ s/\r\n/\n/g; # line ends that come by TLS are left as they are
	$text =~ /^\.dots$/m or die "message $n: $text";
	$text =~ s/\n/\r\n/g;
	length $text == $list->{$n} or die "message $n has ", length $text, " octets, not $list->{$n}";
	$uidl->{$n} or die "message $n has no unique-id";
	$p->delete($n) or die 'DELE: ', $p->message;
}
$p->reset; # returns nothing of use
$p->ok or die 'RSET: ', $p->message;
$p->quit or die 'QUIT: ', $p->message;
print "done\n";
`

// TestNetPOP3 runs without security layers in the clear: where they are on
// offer, Authen::SASL agrees to one that Net::POP3 does not speak.
func TestNetPOP3(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startEdited(t, "kerberos {", "kerberos {\n  security_layers = [\"none\"]")
	testNetPOP3(t, s, d, true)
}

// TestNetPOP3Layers shows that under TLS they do not lead it astray.
func TestNetPOP3Layers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	testNetPOP3(t, s, s.start(t), false)
}

func testNetPOP3(t *testing.T, s *site, d *daemon, clear bool) {
	cache := s.world.Kinit(t, "alice")
	file := script(t, "pop.pl", perlScript)
	for _, c := range []struct{ name, cache, way, listener, ca, user string }{
		{"GSSAPI", cache, "GSSAPI", "pop3", "", "alice"},
		{"GSSAPI with STLS", cache, "GSSAPI", "pop3", s.CA, "alice"},
		{"APOP", "", "APOP", "clear", "", "bob"},
		{"APOP with STLS", "", "APOP", "pop3", s.CA, "bob"},
		{"USER with STLS", "", "USER", "pop3", s.CA, "bob"},
		{"USER", "", "USER", "clear", "", "bob"},
	} {
		if c.ca == "" && !clear {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if n := 2 - len(s.messages(t, c.user)); n > 0 {
				s.deliver(t, c.user, n)
			}
			mark := d.log.mark()
			runClient(t, s.world.Env(c.cache), "", "perl", file, c.way, d.port(t, c.listener), c.ca, c.user, bobPassword).
				exits(t, 0).says(t, "done")
			d.loggedIn(t, mark, c.way, c.user)
		})
	}
	d.stop(t)
}

// layerScript is a session of Perl's Authen::SASL behind the security layer
// that it negotiates: port, and
// 1 for integrity or 2 for confidentiality.
const layerScript = `
use strict;
use warnings;
use Authen::SASL qw(Perl);
use IO::Socket::INET;
use MIME::Base64;
my ($port, $strength) = @ARGV;
alarm 50;
my $sock = IO::Socket::INET->new("localhost:$port") or die "connect: $!";
my $client = Authen::SASL->new(mechanism => 'GSSAPI')->client_new('pop', 'localhost');
$client->property(maxssf => $strength);
sub line { my $l = readline($sock); $l =~ s/\r\n$//; $l }
line;
my $token = $client->client_start;
print $sock 'AUTH GSSAPI ', encode_base64($token, ''), "\r\n";
while ((my $l = line) !~ /^\+OK/) {
	$l =~ s/^\+ // or die $l;
	print $sock encode_base64($client->client_step(decode_base64($l)) // '', ''), "\r\n";
}
print 'ssf ', $client->property('ssf'), "\n";

# From here on everything has its length in front of it, and is wrapped.
sub say_ {
	my $t = $client->encode(join '', map { "$_\r\n" } @_) or die $client->error;
	print $sock pack('N', length $t), $t;
}
my $clear = '';
sub hear {
	while (1) {
		return $1 if $clear =~ s/^(.*?)\r\n//;
		read($sock, my $n, 4) == 4 or die 'the server closed';
		read($sock, my $t, unpack 'N', $n) == unpack 'N', $n or die 'cut short';
		$clear .= $client->decode($t) // die $client->error;
	}
}
say_('STAT', 'RETR 1', 'NOOP');
hear =~ /^\+OK 1 / or die 'STAT';
hear =~ /^\+OK/ or die 'RETR';
my $lines = 0;
while (hear ne '.') { $lines++ }
hear =~ /^\+OK/ or die 'NOOP';
say_('DELE 1', 'QUIT');
hear =~ /^\+OK/ or die 'DELE';
hear =~ /^\+OK/ or die 'QUIT';
print "$lines lines\n";
`

// TestPerlLayer collects a message that is longer than the layer's tokens.
func TestPerlLayer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	text := "Subject: long\n\n" + strings.Repeat("a line of some length, to be wrapped\n", 10000)
	cache := s.world.Kinit(t, "alice")
	for _, strength := range []string{"1", "2"} {
		if err := s.store().Deliver(t.Context(), "alice", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		runClient(t, s.world.Env(cache), "", "perl", script(t, "layer.pl", layerScript), d.port(t, "pop3"), strength).
			exits(t, 0).says(t, "ssf "+strength+"\n", "10002 lines\n")
		if left := s.messages(t, "alice"); len(left) != 0 {
			t.Errorf("%d messages are left", len(left))
		}
	}
	d.stop(t)
}
