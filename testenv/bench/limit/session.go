package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// A server has what all sessions share.
type server struct {
	drops    map[string]*drop
	password string
	buffers  sync.Pool // of *[]byte: answers that are about to be written
}

// accept serves connections for good.
func (s *server) accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go (&session{server: s, conn: conn}).serve()
	}
}

// A session is one connection. While it waits it has no more than its line.
type session struct {
	*server
	conn net.Conn
	drop *drop // nil: not logged in
	user string
	over bool // QUIT was said, or the connection is broken
	line [512]byte
	out  *[]byte
}

// maxLine is more than what commands may have (RFC 2449 §4), and direct is from
// what size on an answer is written from where it is instead of being gathered.
const maxLine, direct = 255, 16 << 10

func (s *session) serve() {
	defer s.conn.Close()
	s.begin()
	s.say("+OK ready\r\n")
	for kept := 0; s.flush(); {
		n, err := s.conn.Read(s.line[kept:])
		if err != nil {
			return
		}
		s.begin()
		rest := s.line[:kept+n]
		for !s.over {
			line, more, whole := bytes.Cut(rest, []byte("\r\n"))
			if !whole {
				break
			}
			s.answer(string(line))
			rest = more
		}
		if kept = copy(s.line[:], rest); kept > maxLine {
			return
		}
	}
}

// begin takes a buffer for answers.
func (s *session) begin() {
	if s.out, _ = s.buffers.Get().(*[]byte); s.out == nil {
		s.out = new([]byte)
	}
}

// flush writes what there is to say, and gives the buffer back. It says whether the
// session goes on.
func (s *session) flush() bool {
	s.write(*s.out)
	*s.out = (*s.out)[:0]
	s.buffers.Put(s.out)
	return !s.over
}

func (s *session) write(b []byte) {
	if len(b) == 0 {
		return
	}
	if _, err := s.conn.Write(b); err != nil {
		s.over = true
	}
}

// say sends a short answer with those before and after it.
func (s *session) say(answer string) { *s.out = append(*s.out, answer...) }

// send sends an answer that may be large.
func (s *session) send(answer []byte) {
	if len(answer) < direct && len(*s.out) < 4*direct {
		*s.out = append(*s.out, answer...)
		return
	}
	s.write(*s.out)
	*s.out = (*s.out)[:0]
	s.write(answer)
}

// answer answers one command.
func (s *session) answer(line string) {
	command, argument, _ := strings.Cut(line, " ")
	switch strings.ToUpper(command) {
	case "CAPA":
		s.say("+OK\r\nUSER\r\nSASL PLAIN\r\nUIDL\r\nPIPELINING\r\n.\r\n")
	case "USER":
		s.user = argument
		s.say("+OK\r\n")
	case "PASS":
		s.login(s.user, argument)
	case "AUTH":
		s.plain(argument)
	case "QUIT":
		s.say("+OK\r\n")
		s.over = true
	default:
		s.transact(strings.ToUpper(command), argument)
	}
}

// plain takes AUTH PLAIN with an initial response (RFC 5034 §4, RFC 4616 §2).
func (s *session) plain(argument string) {
	response, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(argument, "PLAIN "))
	if part := strings.Split(string(response), "\x00"); len(part) == 3 {
		s.login(part[1], part[2])
		return
	}
	s.say("-ERR\r\n")
}

func (s *session) login(user, password string) {
	if d := s.drops[user]; d != nil && password == s.password {
		s.drop = d
		s.say("+OK\r\n")
		return
	}
	s.say("-ERR [AUTH]\r\n")
}

// transact answers the commands of those who are logged in.
func (s *session) transact(command, argument string) {
	switch {
	case s.drop == nil:
		s.say("-ERR\r\n")
	case command == "STAT":
		s.send(s.drop.stat)
	case command == "NOOP", command == "RSET", command == "DELE":
		s.say("+OK\r\n")
	case command == "LIST" && argument == "":
		s.send(s.drop.list)
	case command == "UIDL" && argument == "":
		s.send(s.drop.uidl)
	default:
		s.message(command, argument)
	}
}

// message answers what is about one message.
func (s *session) message(command, argument string) {
	n, err := strconv.Atoi(argument)
	switch {
	case err != nil, n < 1, n > len(s.drop.messages):
		s.say("-ERR\r\n")
	case command == "RETR":
		s.send(s.drop.messages[n-1])
	case command == "LIST":
		s.say(fmt.Sprintf("+OK %d %d\r\n", n, octets(s.drop.messages[n-1])))
	default:
		s.say("-ERR\r\n")
	}
}
