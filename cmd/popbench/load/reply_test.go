package load

import (
	"strings"
	"testing"
	"time"
)

// replay returns a client whose server has said all that it will say.
func replay(said string) *client {
	o := &Options{Workload: "retr", Users: Users{Pattern: "user%d"}}
	o.fill()
	if err := o.check(); err != nil {
		panic(err)
	}
	c := newClient(&run{o: o, w: workloads["retr"], bounded: true}, 0)
	c.buf, c.timeout = make([]byte, 128), time.Minute
	c.use(fakeNet{Reader: strings.NewReader(said)})
	return c
}

// converse has a client of a maildrop of two messages retrieve and delete them.
func (c *client) both() error {
	c.box.sizes = []message{{octets: 3}, {octets: 4}}
	at := 0
	return c.converse(func() (flight, bool) {
		at++
		return flight{number: (at + 1) / 2, retr: at%2 == 1, claim: counted}, at <= 4
	})
}

func TestConverse(t *testing.T) {
	for _, c := range []struct{ said, err string }{
		{"+OK\r\na\r\n.\r\n+OK\r\n+OK\r\n..\r\n\r\n.\r\n+OK\r\n", "message 2: wrong content: RETR sends 5 octets, and LIST says 4"},
		{"+OK\r\na\r\n.\r\n+OK\r\n+OK\r\n..b\r\n.\r\n+OK\r\n", ""},
		{"+OK\r\na\r\n.\r\n-ERR no\r\n", "message 1: the server says \"-ERR no\""},
		{"+OK\r\nab\r\n.\r\n", "message 1: wrong content: RETR sends 4 octets, and LIST says 3"},
		{"+OK\r\na\r\n", "message 1: EOF"},
	} {
		got := ""
		if err := replay(c.said).both(); err != nil {
			got = err.Error()
		}
		if got != c.err {
			t.Errorf("%q: %q, want %q", c.said, got, c.err)
		}
	}
}

func TestListings(t *testing.T) {
	for _, c := range []struct {
		said string
		n    int // -1: an error
	}{
		{"+OK\r\n.\r\n", 0},
		{"+OK 2 messages\r\n1 10\r\n2 20\r\n.\r\n", 2},
		{"+OK\r\n1 10\r\n3 20\r\n.\r\n", -1},
		{"+OK\r\nx\r\n.\r\n", -1},
		{"+OK\r\n1 10\r\n", -1},
		{"-ERR\r\n", -1},
	} {
		n := 0
		err := replay(c.said).each(list, func(int, []byte) error { n++; return nil })
		if (err != nil) != (c.n < 0) || err == nil && n != c.n {
			t.Errorf("%q: %d, %v", c.said, n, err)
		}
	}
}

// Whatever a server says, a client neither panics nor waits for more than comes.
func FuzzReplies(f *testing.F) {
	f.Add("+OK 2 30\r\n")
	f.Add("+OK\r\na\r\n.\r\n+OK\r\n+OK\r\n..b\r\n.\r\n+OK\r\n")
	f.Add("+ YWJj\r\n")
	f.Add("\x00\x00\x00\x05hello")
	f.Fuzz(func(t *testing.T, said string) {
		_ = replay(said).both()
		_, _, _ = replay(said).stat()
		_, _ = replay(said).challenge("AUTH GSSAPI", nil)
		_, _ = replay(said).frame()
		_, _, _ = replay(said).rows()
		_ = replay(said).each(list, func(int, []byte) error { return nil })
		_ = replay(said).lines(capa, func([]byte) error { return nil })
		c := replay(said)
		c.greeting = []byte(said)
		_ = c.apop(0)
	})
}

// Clients have accounts of their own, and together all of them.
func TestUsers(t *testing.T) {
	for _, c := range []struct{ clients, users int }{{1, 1}, {3, 10}, {4, 4}, {5, 2}, {8, 100}} {
		r := &run{o: &Options{Clients: c.clients, Users: Users{Pattern: "u%d", N: c.users}}}
		owner := map[int]int{}
		for id := range c.clients {
			client := &client{run: r, id: id}
			for range 2 * c.users {
				u, _ := client.user()
				if before, had := owner[u]; had && before != id && c.users >= c.clients {
					t.Errorf("%+v: user %d is of clients %d and %d", c, u, before, id)
				}
				owner[u] = id
			}
		}
		if len(owner) != c.users {
			t.Errorf("%+v: only %d users", c, len(owner))
		}
	}
}

func TestManifest(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for _, c := range []struct {
		text string
		good bool
	}{
		{`{"uid":"a","octets":3,"sha256":"` + sum + `"}`, true},
		{`{"number":1,"octets":3,"sha256":"` + sum + `"}`, true},
		{`{"number":1,"octets":3,"sha256":"` + sum + `"}{"uid":"a","octets":3,"sha256":"` + sum + `"}`, false},
		{`{"number":1,"uid":"a","octets":3,"sha256":"` + sum + `"}`, false},
		{`{"octets":3,"sha256":"` + sum + `"}`, false},
		{`{"number":1,"octets":3,"sha256":"` + sum + `00"}`, false},
		{`{"number":1,"octets":3,"sha256":"ab"}`, false},
		{`{"number":1,"octets":3}`, false},
		{`{`, false},
		{``, false},
	} {
		if _, err := ReadManifest(strings.NewReader(c.text)); (err == nil) != c.good {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// A session's commands cost no allocation, however many there are.
func TestAllocations(t *testing.T) {
	said := strings.Repeat("+OK\r\na\r\n.\r\n+OK\r\n+OK\r\n..b\r\n.\r\n+OK\r\n", 100)
	c := replay(said)
	r := strings.NewReader(said)
	c.use(fakeNet{Reader: r})
	c.both() // which makes room for the commands in flight
	few := testing.AllocsPerRun(20, func() { r.Reset(said); c.r, c.w = 0, 0; _ = c.both() })
	many := testing.AllocsPerRun(20, func() {
		r.Reset(said)
		c.r, c.w = 0, 0
		for range 50 {
			_ = c.both()
		}
	})
	// The slice of sizes, and the function that says what is next.
	if many > 50*few || few > 3 {
		t.Errorf("%g allocations for two messages, %g for a hundred", few, many)
	}
}
