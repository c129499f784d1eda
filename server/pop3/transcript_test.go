package pop3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/server"
	"kpopd/server/pop3"
)

var update = flag.Bool("update", false, "rewrite what the server says in testdata/*.txt")

// TestTranscripts plays the conversations in testdata/*.txt. Each begins with
// "== title" and has a world of its own, in which time passes only by !wait.
//
//	C: text            the client sends a line; several in a row go in one write
//	S: text            what the server answers, up to its next wait for input
//	S 1000: text       the same line a thousand times
//	S| text            octets that no CRLF ends
//	S.                 the server closes the connection
//	!directive         set-up, another act of the client, or a question; see acts
//	= text             what came of a directive
//
// A text that is not plain is quoted as in Go.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out := playFile(t, file, strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
		if !*update {
			continue
		}
		if err := os.WriteFile(file, []byte(strings.Join(out, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// playFile plays the sections of a file and returns it with what the server
// really said.
func playFile(t *testing.T, file string, lines []string) []string {
	base := strings.TrimSuffix(filepath.Base(file), ".txt")
	out := slices.Clone(lines[:sectionEnd(lines, 0)])
	for at := len(out); at < len(lines); {
		end := sectionEnd(lines, at+1)
		title := strings.TrimSpace(strings.TrimPrefix(lines[at], "=="))
		t.Run(base+"/"+title, func(t *testing.T) {
			w := newWorld(t)
			synctest.Test(t, func(t *testing.T) {
				p := &player{t: t, w: w, file: file, at: at, clients: map[string]*client{}}
				out = append(out, p.play(lines[at:end])...)
			})
		})
		at = end
	}
	return out
}

func sectionEnd(lines []string, from int) int {
	for i := from; i < len(lines); i++ {
		if strings.HasPrefix(lines[i], "==") {
			return i
		}
	}
	return len(lines)
}

// A player plays one section.
type player struct {
	t       *testing.T
	w       *world
	file    string
	at      int // the section's first line
	clients map[string]*client
	current string
	heard   []string
	cancel  context.CancelFunc // of the last session's context
	stopped <-chan error       // a Shutdown that has begun
}

// play performs each act and compares what follows it.
func (p *player) play(lines []string) []string {
	defer p.end()
	out := []string{lines[0]}
	for i := 1; i < len(lines); {
		if !isAct(lines[i]) {
			if isHeard(lines[i]) {
				p.t.Errorf("%s:%d: nothing was done that this answers", p.file, p.at+i+1)
			}
			out = append(out, lines[i])
			i++
			continue
		}
		acts := i + 1
		for strings.HasPrefix(lines[i], "C: ") && acts < len(lines) && strings.HasPrefix(lines[acts], "C: ") {
			acts++
		}
		answers := acts
		for answers < len(lines) && isHeard(lines[answers]) {
			answers++
		}
		got := p.act(lines[i:acts])
		if diff := cmp.Diff(lines[acts:answers], got); diff != "" && len(got)+answers-acts > 0 && !*update {
			p.t.Errorf("%s:%d: %s\n%s", p.file, p.at+i+1, lines[i], diff)
		}
		out = append(append(out, lines[i:acts]...), got...)
		i = answers
	}
	return out
}

func isAct(line string) bool { return strings.HasPrefix(line, "C: ") || strings.HasPrefix(line, "!") }

func isHeard(line string) bool { return strings.HasPrefix(line, "S") || strings.HasPrefix(line, "= ") }

// act performs one act, lets everything happen that it leads to, and returns
// what was heard.
func (p *player) act(lines []string) []string {
	p.heard = nil
	if strings.HasPrefix(lines[0], "C: ") {
		var text string
		for _, line := range lines {
			text += line[len("C: "):] + "\r\n"
		}
		p.client().write([]byte(text))
	} else {
		p.direct(lines[0][1:])
	}
	p.listen()
	return p.heard
}

func (p *player) client() *client {
	c := p.clients[p.current]
	if c == nil {
		p.t.Fatalf("%s: no !connect before the first act of a client", p.file)
	}
	return c
}

// listen notes what the current client has received.
func (p *player) listen() {
	synctest.Wait()
	c := p.clients[p.current]
	if c == nil {
		return
	}
	data, closed := c.take()
	for _, line := range strings.Split(string(data), "\r\n") {
		if err := lawful(line); err != nil {
			p.t.Errorf("%s:%d: %q: %v", p.file, p.at+1, line, err)
		}
	}
	p.heard = append(p.heard, received(data)...)
	if closed && !c.told {
		c.told = true
		p.heard = append(p.heard, "S.")
	}
}

// lawful checks what is true of each first line of a reply.
func lawful(line string) error {
	text, negative := strings.CutPrefix(line, "-ERR ")
	if !negative && !strings.HasPrefix(line, "+OK") {
		return nil
	}
	if len(line) > 510 {
		return errors.New("longer than 512 octets") // RFC 1939 §3
	}
	code, words, coded := strings.Cut(strings.TrimPrefix(text, "["), "] ")
	if !strings.HasPrefix(text, "[") || !negative {
		return nil
	}
	// RFC 2449 §8: what begins with a bracket is a code.
	if !coded || !slices.Contains([]string{"IN-USE", "LOGIN-DELAY", "AUTH", "SYS/TEMP", "SYS/PERM", "UTF8"}, code) {
		return errors.New("no such response code")
	}
	// fetchmail takes these for a server that is busy.
	for _, word := range []string{"lock", "wait", "unavailable"} {
		if code == "AUTH" && strings.Contains(strings.ToLower(words), word) {
			return fmt.Errorf("a refusal that says %q", word)
		}
	}
	return nil
}

// received writes received octets as lines of a transcript.
func received(data []byte) []string {
	var out []string
	lines := bytes.SplitAfter(data, []byte("\r\n"))
	for i := 0; i < len(lines) && len(lines[i]) > 0; {
		same := 1
		for i+same < len(lines) && bytes.Equal(lines[i], lines[i+same]) {
			same++
		}
		text, whole := bytes.CutSuffix(lines[i], []byte("\r\n"))
		switch {
		case !whole:
			out = append(out, "S| "+plain(text))
		case same >= 5:
			out = append(out, fmt.Sprintf("S %d: %s", same, plain(text)))
		default:
			out = append(out, slices.Repeat([]string{strings.TrimRight("S: "+plain(text), " ")}, same)...)
		}
		i += same
	}
	return out
}

func plain(text []byte) string {
	s := string(text)
	if len(s) > 200 {
		return fmt.Sprintf("%s… %d octets", strconv.Quote(s[:20]), len(s))
	}
	if q := strconv.Quote(s); len(q) != len(s)+2 || strings.HasSuffix(s, " ") {
		return q
	}
	return s
}

// end cuts all connections, and looks for secrets where none may be.
func (p *player) end() {
	for _, c := range p.clients {
		c.close()
	}
	if p.cancel != nil {
		p.cancel()
	}
	if p.stopped != nil {
		<-p.stopped
	}
	for _, secret := range p.w.leaks() {
		p.t.Errorf("%s:%d: %q got into the log", p.file, p.at+1, secret)
	}
}

func (p *player) say(format string, a ...any) {
	p.heard = append(p.heard, "= "+fmt.Sprintf(format, a...))
}

// direct performs a directive.
func (p *player) direct(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	words := strings.Fields(rest)
	act, ok := acts[verb]
	if !ok {
		p.t.Fatalf("%s: no directive !%s", p.file, verb)
	}
	act(p, rest, words)
}

// acts are the directives: of the set-up first, then those of the client, and
// last what happens elsewhere and what may be asked.
var acts = map[string]func(p *player, rest string, words []string){
	"message": func(p *player, rest string, _ []string) { p.w.deliver(p.t, "alice", string(p.octets(rest))) },
	"clear": func(p *player, _ string, words []string) {
		p.w.handler.Clear = map[string]pop3.Clear{"none": pop3.ClearNone, "tickets": pop3.ClearTickets, "any": pop3.ClearAny}[words[0]]
	},
	"apop":    func(p *player, _ string, _ []string) { p.w.handler.Timestamp = func() string { return timestamp } },
	"noauth":  func(p *player, _ string, _ []string) { p.w.handler.Auth = nil },
	"nouser":  func(p *player, _ string, _ []string) { p.w.handler.NoUser = true },
	"nomechs": func(p *player, _ string, _ []string) { p.w.handler.Mechanisms = nil },
	"kpop":    func(p *player, _ string, _ []string) { p.w.handler.Admit = toyAdmit },
	"hold":    (*player).hold,
	"policy":  func(p *player, _ string, words []string) { p.w.policy = p.policy(p.w.policy, words) },
	"policies": func(p *player, _ string, words []string) {
		p.w.handler.Policies = append(p.w.handler.Policies, p.policy(maildrop.Policy{}, words))
	},
	"sdps":     func(p *player, rest string, _ []string) { p.w.handler.SDPS = rest },
	"limit":    (*player).limit,
	"external": func(p *player, _ string, _ []string) { p.w.handler.Mechanisms = auth.Mechanisms{auth.External{}} },
	"language": func(p *player, rest string, _ []string) { p.w.handler.Language = rest },
	"utf8": func(p *player, _ string, words []string) {
		p.w.handler.UTF8Messages = map[string]pop3.UTF8Policy{"as-is": pop3.UTF8AsIs, "surrogate": pop3.UTF8Surrogate, "refuse": pop3.UTF8Refuse}[words[0]]
	},
	"notls":    func(p *player, _ string, _ []string) { p.w.endpoint.TLS = nil },
	"implicit": func(p *player, _ string, _ []string) { p.w.endpoint.Implicit = true },

	"connect": (*player).connect,
	"as":      func(p *player, _ string, words []string) { p.current = words[0] },
	"send":    func(p *player, rest string, _ []string) { p.client().write(p.octets(rest)) },
	"bytes": func(p *player, rest string, _ []string) {
		for _, b := range p.octets(rest) {
			p.client().write([]byte{b})
		}
	},
	"tls":   func(p *player, _ string, words []string) { p.tls(words) },
	"layer": func(p *player, _ string, _ []string) { p.client().startLayer() },
	"cut": func(p *player, _ string, _ []string) {
		p.client().told = true // that the connection is over
		p.client().raw.Close()
	},
	"eof":   func(p *player, _ string, _ []string) { p.client().raw.CloseWrite() },
	"stall": func(p *player, _ string, _ []string) { p.client().stall() },
	"read":  func(p *player, _ string, _ []string) { p.client().read() },

	"wait": func(p *player, rest string, _ []string) {
		d, err := time.ParseDuration(rest)
		if err != nil {
			p.t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(d) // the bubble's clock
	},
	"fail":       func(p *player, _ string, words []string) { p.w.store.fail[words[0]] = true },
	"repair":     func(p *player, _ string, words []string) { p.w.store.fail[words[0]] = false },
	"cancel":     func(p *player, _ string, _ []string) { p.cancel() },
	"unrecorded": func(p *player, _ string, words []string) { p.w.unrecorded = errors.New(words[0]) },
	"outage":     func(p *player, _ string, words []string) { p.w.outage = words[0] },
	"lose":       func(p *player, _ string, _ []string) { close(p.w.store.last.lost) },
	"shutdown":   func(p *player, rest string, _ []string) { p.shutdown(rest) },

	"maildrop": func(p *player, _ string, words []string) { p.say("%s", p.w.maildrop(words[0])) },
	"events": func(p *player, _ string, _ []string) {
		for _, line := range p.w.takeEvents() {
			p.say("%s", line)
		}
	},
	"held": func(p *player, _ string, _ []string) {
		p.say("%s", strings.Join(p.w.held, ", "))
		p.w.held = nil
	},
	"logged": func(p *player, rest string, _ []string) {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		p.say("%v", strings.Contains(p.w.log.String(), rest))
	},
	"end":     func(p *player, _ string, _ []string) { p.ended() },
	"stopped": func(p *player, _ string, _ []string) { p.isStopped() },
}

func (p *player) connect(_ string, words []string) {
	p.current = strings.Join(words, " ")
	ctx, cancel := context.WithCancel(context.Background())
	p.clients[p.current], p.cancel = p.w.connect(ctx), cancel
}

// hold holds back each answer to a refused login, of whom it says: "!hold 5s", or "!hold full" where
// there is no room.
func (p *player) hold(rest string, _ []string) {
	d, _ := time.ParseDuration(rest)
	p.w.handler.Hold = func(peer auth.Peer, user string) (time.Duration, func(), bool) {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		p.w.held = append(p.w.held, "held "+user)
		return d, func() { p.w.held = append(p.w.held, "done "+user) }, d > 0
	}
}

// policy changes a policy: "!policy expire=30 delay=10m" for the maildrops that
// are opened, and "!policies expire=never" adds one that CAPA knows of.
func (p *player) policy(was maildrop.Policy, words []string) maildrop.Policy {
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch d, err := time.ParseDuration(value); {
		case key == "delay" && err == nil:
			was.LoginDelay = d
		case key == "expire" && value == "never":
			was.Expire = maildrop.Never
		case key == "expire":
			was.Expire, _ = strconv.Atoi(value)
		default:
			p.t.Fatalf("%s: no policy %q", p.file, word)
		}
	}
	return was
}

// limit sets a limit of the server's: "!limit user 2", "!limit memory 50000".
func (p *player) limit(_ string, words []string) {
	n, err := strconv.Atoi(words[1])
	if err != nil {
		p.t.Fatal(err)
	}
	l := map[string]server.Limits{"user": {PerUser: n}, "memory": {Memory: int64(n)}}
	p.w.srv.SetLimits(l[words[0]])
}

func (p *player) tls(words []string) {
	state, err := p.client().startTLS(tlsOptions(words))
	if err != nil {
		p.say("no TLS")
		return
	}
	p.say("%s", tls.VersionName(state.Version))
}

func (p *player) shutdown(rest string) {
	d, err := time.ParseDuration(rest)
	if err != nil {
		p.t.Fatal(err)
	}
	p.stopped = p.w.shutdown(d)
}

func (p *player) isStopped() {
	synctest.Wait()
	select {
	case err := <-p.stopped:
		p.stopped = nil
		p.say("stopped: %v", err)
	default:
		p.say("not stopped yet")
	}
}

// ended tells what the handler returned.
func (p *player) ended() {
	synctest.Wait()
	select {
	case <-p.client().ended:
		p.say("ended: %v", p.client().err)
	default:
		p.say("goes on")
	}
}

// octets evaluates Go strings, each with a factor behind "*" or without.
func (p *player) octets(text string) []byte {
	var out []byte
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			p.t.Fatalf("%s: %q: %v", p.file, text, err)
		}
		text = text[len(quoted):]
		s, _ := strconv.Unquote(quoted)
		times := 1
		if rest, ok := strings.CutPrefix(text, "*"); ok {
			digits, _, _ := strings.Cut(rest, " ")
			if times, err = strconv.Atoi(digits); err != nil {
				p.t.Fatalf("%s: %v", p.file, err)
			}
			text = rest[len(digits):]
		}
		out = append(out, strings.Repeat(s, times)...)
	}
	return out
}
