package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/server"
)

// TestPause pauses for ten seconds, with eight to log in. What was said before
// goes out at once; the end of the connection ends the pause, input does not.
func TestPause(t *testing.T) {
	for _, tt := range []struct {
		name    string
		timeout time.Duration
		send    string
		act     func(f *fixture, c io.Closer)
		there   bool
		after   time.Duration
	}{
		{"silent client", time.Minute, "", nil, true, 10 * time.Second},
		{"client that goes on", time.Minute, "next\r\n", nil, true, 10 * time.Second},
		{"client that fills the buffer", time.Minute, strings.Repeat("x", 5000) + "\r\nnext\r\n", nil, true, 10 * time.Second},
		{"no time left to log in", 8 * time.Second, "", nil, true, 8 * time.Second},
		{"client that leaves", time.Minute, "", func(_ *fixture, c io.Closer) { c.Close() }, false, 3 * time.Second},
		{"shutdown", time.Minute, "", shutdown, false, 3 * time.Second},
		{"shutdown with a full buffer", time.Minute, strings.Repeat("x", 5000) + "\r\n", shutdown, false, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playPause(t, tt.timeout, tt.send, tt.act, tt.there, tt.after) })
		})
	}
}

func shutdown(f *fixture, _ io.Closer) { _ = f.Shutdown(context.Background()) }

func playPause(t *testing.T, timeout time.Duration, send string, act func(*fixture, io.Closer), there bool, after time.Duration) {
	start := time.Now()
	var took time.Duration
	var stayed bool
	f := newFixture(func(ctx context.Context, c *server.Conn) error {
		c.Printf("before\r\n")
		stayed = c.Pause(ctx, 10*time.Second)
		took = time.Since(start)
		for err := error(nil); err == nil || errors.Is(err, server.ErrLineTooLong); {
			_, err = c.ReadLine(100)
		}
		return nil
	})
	f.endpoint.LoginTimeout = timeout
	c, ended := f.connect("192.0.2.1")
	go io.WriteString(c, send) // the pipe takes it as it is read
	expect(t, bufio.NewReader(c), "before")
	time.Sleep(3 * time.Second)
	if act != nil {
		act(f, c)
	}
	time.Sleep(20 * time.Second)
	c.Close()
	<-ended
	f.sessions.Wait()
	if took != after || stayed != there {
		t.Errorf("paused for %s, stayed: %t; want %s, %t", took, stayed, after, there)
	}
}

// Nothing that arrived during a pause is lost, in TLS either, whose records may
// come in pieces.
func TestPauseTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(func(ctx context.Context, c *server.Conn) error {
			for range 3 {
				if !c.Pause(ctx, time.Second) {
					return errors.New("gone")
				}
			}
			return echo(ctx, c)
		})
		f.endpoint.TLS, f.endpoint.Implicit = server.TLSConfig(pairs, 0), true
		raw, ended := f.connect("192.0.2.1")
		c := tls.Client(raw, clientConfig("one.example"))
		go func() {
			time.Sleep(500 * time.Millisecond)
			io.WriteString(c, "one\r\ntw")
			time.Sleep(time.Second)
			io.WriteString(c, "o\r\nQUIT\r\n")
		}()
		r := bufio.NewReader(c)
		for _, want := range []string{"hello", "one", "two", "QUIT"} {
			expect(t, r, want)
		}
		c.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		f.sessions.Wait()
	})
}

// TestOccupy counts the connections of users, who share them with nobody.
func TestOccupy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(func(ctx context.Context, c *server.Conn) error {
			for {
				line, err := c.ReadLine(100)
				if err != nil {
					return err
				}
				if user := string(line); user == "-" {
					c.Vacate()
					c.Vacate()
					c.Printf("out\r\n")
				} else {
					c.Printf("%s %t\r\n", user, c.Occupy(user))
				}
			}
		})
		f.SetLimits(server.Limits{PerUser: 2})
		say := map[byte]func(string) string{}
		cut := map[byte]func(){}
		for _, name := range []byte("ABCD") {
			c, _ := f.connect("192.0.2.1")
			r := bufio.NewReader(c)
			cut[name] = func() { c.Close(); synctest.Wait() }
			say[name] = func(line string) string {
				io.WriteString(c, line+"\r\n")
				got, _ := r.ReadString('\n')
				return strings.TrimSpace(got)
			}
		}
		for _, step := range []string{
			"A alice true", "B alice true", "C alice false", "C bob true", "C alice false", "D bob true",
			"A alice true", "A - out", "C alice true", "D alice false", "B cut", "D alice true", "A alice false", "C cut", "A alice true",
		} {
			words := strings.Fields(step)
			if words[1] == "cut" {
				cut[step[0]]()
			} else if want := strings.TrimPrefix(strings.Join(words[1:], " "), "- "); say[step[0]](words[1]) != want {
				t.Errorf("%s: not so", step)
			}
		}
		f.SetLimits(server.Limits{})
		if got := say['A']("alice"); got != "alice true" {
			t.Error("a limit that is not there")
		}
		cut['A']()
		cut['D']()
		f.sessions.Wait()
	})
}

// TestMemory has long lines of many clients: those beyond the limit are told
// so, keep their connection, and get their turn when the others have theirs.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(func(ctx context.Context, c *server.Conn) error {
			for {
				line, err := c.ReadLine(64 << 10)
				switch {
				case errors.Is(err, server.ErrNoMemory):
					c.Printf("no memory\r\n")
				case err != nil:
					return err
				default:
					c.Printf("%d\r\n", len(line))
				}
			}
		})
		f.SetLimits(server.Limits{Memory: 3 * 50_000})
		long := strings.Repeat("x", 30_000)
		a, _ := f.connect("192.0.2.1")
		b, _ := f.connect("192.0.2.2")
		ra, rb := bufio.NewReader(a), bufio.NewReader(b)
		io.WriteString(a, long) // and holds it
		io.WriteString(b, "short\r\n")
		expect(t, rb, "5")
		for range 2 {
			io.WriteString(b, long+long+"\r\n")
			expect(t, rb, "no memory")
		}
		io.WriteString(b, "next\r\n")
		expect(t, rb, "4")
		io.WriteString(a, "\r\n")
		expect(t, ra, "30000")
		io.WriteString(b, long+"\r\n") // a waits for a line: what it had is free
		expect(t, rb, "30000")
		io.WriteString(b, long)
		b.Close() // in the middle
		synctest.Wait()
		io.WriteString(a, long+"\r\n")
		expect(t, ra, "30000")
		a.Close()
		f.sessions.Wait()
		if !strings.Contains(f.log.String(), "too much memory is taken before login") {
			t.Error("the log does not say so")
		}
	})
}
