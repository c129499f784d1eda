package ldap_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth/ldap"
)

// A stub is a directory server that answers as no real one can be brought to.
// Its search finds one entry, cn=alice with the uid alice, unless a test says
// otherwise.
type stub struct {
	addr string
	bind func(dn, password string) (code int, diagnostic string, controls *ber.Packet)
	find func(send func(op *ber.Packet))                     // instead of that entry
	ask  func(search *ber.Packet, send func(op *ber.Packet)) // the same, knowing what is asked
	ext  func(net.Conn) bool                                 // what follows an extended request; true: go on

	mu    sync.Mutex
	binds []string // DN, a space, and the password
}

// start listens until the test ends.
func (s *stub) start(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				s.serve(c)
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	s.addr = l.Addr().String()
	return "ldap://" + s.addr
}

func (s *stub) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		p, err := ber.ReadPacket(r)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, op := p.Children[0].Value.(int64), p.Children[1]
		send := func(op *ber.Packet, more ...*ber.Packet) {
			m := ber.NewSequence("")
			m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
			m.AppendChild(op)
			for _, p := range more {
				m.AppendChild(p)
			}
			c.Write(m.Bytes())
		}
		switch op.Tag {
		case goldap.ApplicationBindRequest:
			s.answerBind(op, send)
		case goldap.ApplicationSearchRequest:
			s.answerSearch(op, send)
		case goldap.ApplicationExtendedRequest:
			if s.ext == nil || !s.ext(c) {
				return
			}
		case goldap.ApplicationUnbindRequest:
			return
		}
	}
}

func (s *stub) answerBind(op *ber.Packet, send func(*ber.Packet, ...*ber.Packet)) {
	dn, password := op.Children[1].Value.(string), op.Children[2].Data.String()
	s.mu.Lock()
	s.binds = append(s.binds, dn+" "+password)
	s.mu.Unlock()
	code, diagnostic, controls := 0, "", (*ber.Packet)(nil)
	if s.bind != nil {
		code, diagnostic, controls = s.bind(dn, password)
	}
	if answer := result(goldap.ApplicationBindResponse, code, diagnostic); controls != nil {
		send(answer, controls)
	} else {
		send(answer)
	}
}

func (s *stub) answerSearch(search *ber.Packet, send func(*ber.Packet, ...*ber.Packet)) {
	switch {
	case s.ask != nil:
		s.ask(search, func(op *ber.Packet) { send(op) })
	case s.find != nil:
		s.find(func(op *ber.Packet) { send(op) })
	default:
		send(entry("cn=alice", map[string]string{"uid": "alice"}))
	}
	send(result(goldap.ApplicationSearchResultDone, 0, ""))
}

// sent returns the binds that arrived.
func (s *stub) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.binds...)
}

// result is an LDAPResult (RFC 4511 §4.1.9).
func result(op ber.Tag, code int, diagnostic string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, op, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	p.AppendChild(octets(""))
	p.AppendChild(octets(diagnostic))
	return p
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// entry is a SearchResultEntry (RFC 4511 §4.5.2).
func entry(dn string, attrs map[string]string) *ber.Packet {
	lists := map[string][]string{}
	for name, value := range attrs {
		lists[name] = []string{value}
	}
	return fullEntry(dn, lists)
}

// fullEntry is an entry whose attributes may have several values, or none.
func fullEntry(dn string, attrs map[string][]string) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationSearchResultEntry, nil, "")
	p.AppendChild(octets(dn))
	all := ber.NewSequence("")
	for name, list := range attrs {
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, value := range list {
			values.AppendChild(octets(value))
		}
		a := ber.NewSequence("")
		a.AppendChild(octets(name))
		a.AppendChild(values)
		all.AppendChild(a)
	}
	p.AppendChild(all)
	return p
}

// policy is the control of a password policy with an error.
func policy(code int64) *ber.Packet {
	value := ber.NewSequence("")
	value.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, code, ""))
	control := ber.NewSequence("")
	control.AppendChild(octets(goldap.ControlTypeBeheraPasswordPolicy))
	control.AppendChild(octets(string(value.Bytes())))
	all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
	all.AppendChild(control)
	return all
}

// stubConfig is a configuration for stubs.
func stubConfig(urls ...string) ldap.Config {
	return ldap.Config{Source: "ldap stub", URLs: urls, Clear: true, BaseDN: "dc=test", Filter: template("(uid=${user})"),
		LookupFilter: template("(uid=${user})"), Timeout: 20 * time.Second, Log: quiet()}
}

// silent is an address where connections are taken and nothing is ever said.
func silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes them
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return fmt.Sprintf("ldap://%s", l.Addr())
}
