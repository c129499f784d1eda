package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/server"
)

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 98)
	tests := []struct{ name, input, want string }{
		{"CRLF", "a\r\nb\r\n", "a|b|EOF"},
		{"LF alone", "a\nb\n", "a|b|EOF"},
		{"CR is no end", "a\rb\r\r\n", "a\rb\r|EOF"},
		{"empty lines", "\r\n\n", "||EOF"},
		{"NUL and 0xFF", "\x00\xff\r\n", "\x00\xff|EOF"},
		{"the end in the middle", "a\r\nhalf", "a|EOF"},
		{"as long as may be", long + "\r\n" + long + "x\n", long + "|" + long + "x|EOF"},
		{"one too long", long + "x\r\nnext\r\n", "too long|next|EOF"},
		{"longer than the buffer", strings.Repeat("x", 9000) + "\nnext\n", "too long|next|EOF"},
		{"too long and no end", strings.Repeat("x", 200), "EOF"},
		{"as long as is dropped", strings.Repeat("x", 60<<10) + "\nnext\n", "too long|next|EOF"},
		{"without an end", strings.Repeat("x", 1<<20) + "\nnext\n", "server: line without an end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			f := newFixture(func(_ context.Context, c *server.Conn) error {
				for {
					line, err := c.ReadLine(100)
					switch {
					case errors.Is(err, server.ErrLineTooLong):
						got = append(got, "too long")
					case err != nil:
						got = append(got, err.Error())
						return err
					default:
						got = append(got, string(line))
					}
				}
			})
			c, ended := f.connect("192.0.2.1")
			go func() {
				io.WriteString(c, tt.input)
				c.Close()
			}()
			<-ended
			if text := strings.Join(got, "|"); text != tt.want {
				t.Errorf("got %q, want %q", text, tt.want)
			}
			f.sessions.Wait()
		})
	}
}

// A protocol may begin with octets and go on with lines, or the other way
// round: nothing that has arrived is lost between the two.
func TestRead(t *testing.T) {
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		for range 3 {
			octets := make([]byte, 4)
			if _, err := io.ReadFull(c, octets); err != nil {
				return err
			}
			line, err := c.ReadLine(100)
			if err != nil {
				return err
			}
			c.Write(octets)
			c.Printf(" %s\r\n", line)
		}
		_, err := c.Read(make([]byte, 1))
		return err
	})
	c, ended := f.connect("192.0.2.1")
	r := bufio.NewReader(c)
	io.WriteString(c, "\x00\r\n\x01one\r\n")
	expect(t, r, "\x00")
	expect(t, r, "\x01 one")
	io.WriteString(c, "abcdtwo\r\nef")
	expect(t, r, "abcd two")
	io.WriteString(c, "gh")
	io.WriteString(c, "three\r\n")
	expect(t, r, "efgh three")
	c.Close()
	if err := <-ended; err != io.EOF {
		t.Errorf("ended with %v", err)
	}
	f.sessions.Wait()
}

// Reading octets has the deadlines of reading lines, and sends first what is
// to be sent.
func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(func(_ context.Context, c *server.Conn) error {
			c.Printf("first\r\n")
			for {
				if _, err := c.Read(make([]byte, 10)); err != nil {
					return err
				}
			}
		})
		start := time.Now()
		c, ended := f.connect("192.0.2.1")
		expect(t, bufio.NewReader(c), "first")
		for range 5 {
			time.Sleep(10 * time.Second)
			io.WriteString(c, "x")
		}
		if err := <-ended; err != server.ErrLoginTimeout || time.Since(start) != time.Minute {
			t.Errorf("ended with %v after %v", err, time.Since(start))
		}
		f.sessions.Wait()
	})
}

// The limit depends on how the line begins; a line much larger than the buffer
// comes whole.
func TestReadLineFunc(t *testing.T) {
	big := "BIG " + strings.Repeat("y", 100_000)
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		for {
			line, err := c.ReadLineFunc(func(start []byte) int {
				if strings.HasPrefix(string(start), "BIG ") {
					return 128 << 10
				}
				return 10
			})
			if err != nil && err != server.ErrLineTooLong {
				return err
			}
			c.Printf("%d %v\r\n", len(line), err)
		}
	})
	c, _ := f.connect("192.0.2.1")
	r := bufio.NewReader(c)
	for _, tt := range []struct{ line, want string }{
		{"small", "5 <nil>"},
		{big, "100004 <nil>"},
		{"small and not", "0 server: line too long"},
		{"again", "5 <nil>"},
	} {
		io.WriteString(c, tt.line+"\r\n")
		expect(t, r, tt.want)
	}
	c.Close()
	f.sessions.Wait()
}

// Output waits for the moment when the server waits for input: the replies to
// pipelined lines go out in one write.
func TestPipelining(t *testing.T) {
	f := newFixture(echo)
	c, _ := f.connect("192.0.2.1")
	buf := make([]byte, 64<<10)
	if n, _ := c.Read(buf); string(buf[:n]) != "hello\r\n" {
		t.Fatalf("greeting %q", buf[:n])
	}
	input := strings.Repeat("line\r\n", 600) // less than the server's buffer
	io.WriteString(c, input)
	if n, err := c.Read(buf); string(buf[:n]) != input || err != nil {
		t.Errorf("first read: %d octets, %v, want all %d", n, err, len(input))
	}
	c.Close()
	f.sessions.Wait()
}

// Output that is never waited with does not grow without bound.
func TestLargeOutput(t *testing.T) {
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		for range 100_000 {
			c.Printf("%s\r\n", "0123456789abcdef")
		}
		return c.Err()
	})
	c, ended := f.connect("192.0.2.1")
	buf := make([]byte, 1<<20)
	total := 0
	for {
		n, err := c.Read(buf)
		if n > 80<<10 {
			t.Fatalf("%d octets in one write", n)
		}
		if total += n; err != nil {
			break
		}
	}
	if err := <-ended; err != nil || total != 1_800_000 {
		t.Errorf("%d octets, %v", total, err)
	}
	f.sessions.Wait()
}

func TestDeadlines(t *testing.T) {
	tests := []struct {
		name string
		want error
		play func(t *testing.T, c net.Conn, r *bufio.Reader)
		d    time.Duration
	}{
		{"silence before login", server.ErrLoginTimeout, func(*testing.T, net.Conn, *bufio.Reader) {}, time.Minute},
		{"busy before login", server.ErrLoginTimeout, func(t *testing.T, c net.Conn, r *bufio.Reader) {
			for range 5 {
				time.Sleep(10 * time.Second)
				io.WriteString(c, "hm\r\n")
				expect(t, r, "hm")
			}
		}, time.Minute},
		{"octet by octet before login", server.ErrLoginTimeout, func(_ *testing.T, c net.Conn, _ *bufio.Reader) {
			for range 5 {
				time.Sleep(10 * time.Second)
				io.WriteString(c, "x")
			}
		}, time.Minute},
		{"silence after login", server.ErrIdleTimeout, func(t *testing.T, c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "login\r\n")
			expect(t, r, "login")
		}, 10 * time.Minute},
		{"lines after login", server.ErrIdleTimeout, func(t *testing.T, c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "login\r\n")
			expect(t, r, "login")
			for range 6 {
				time.Sleep(9 * time.Minute)
				io.WriteString(c, "noop\r\n")
				expect(t, r, "noop")
			}
		}, 64 * time.Minute},
		{"octet by octet after login", server.ErrIdleTimeout, func(t *testing.T, c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "login\r\n")
			expect(t, r, "login")
			for range 9 {
				time.Sleep(time.Minute)
				io.WriteString(c, "x")
			}
		}, 10 * time.Minute},
		{"no reading after login", server.ErrSlowReader, func(t *testing.T, c net.Conn, r *bufio.Reader) {
			io.WriteString(c, "login\r\n")
			expect(t, r, "login")
			time.Sleep(time.Minute)
			io.WriteString(c, "noop\r\n")
			time.Sleep(time.Hour)
		}, 3 * time.Minute},
		{"no reading before login", server.ErrSlowReader, func(_ *testing.T, c net.Conn, _ *bufio.Reader) {
			time.Sleep(50 * time.Second)
			io.WriteString(c, "noop\r\n")
			time.Sleep(time.Hour)
		}, 65 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playDeadline(t, tt.want, tt.d, tt.play) })
		})
	}
}

func playDeadline(t *testing.T, want error, after time.Duration, play func(*testing.T, net.Conn, *bufio.Reader)) {
	var took time.Duration
	f := newFixture(func(ctx context.Context, c *server.Conn) error {
		start := time.Now()
		err := echo(ctx, c)
		took = time.Since(start)
		return err
	})
	c, ended := f.connect("192.0.2.1")
	r := bufio.NewReader(c)
	expect(t, r, "hello")
	play(t, c, r)
	if err := <-ended; !errors.Is(err, want) || took != after {
		t.Errorf("ended with %v after %v, want %v after %v", err, took, want, after)
	}
	c.Close()
	f.sessions.Wait()
}

// Abort ends a session that waits, from another goroutine, with its cause, and
// ends the context of what it does.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("an operator's whim")
		conns := make(chan *server.Conn, 1)
		done := make(chan struct{})
		f := newFixture(func(ctx context.Context, c *server.Conn) error {
			conns <- c
			_, err := c.ReadLine(100)
			<-ctx.Done()
			close(done)
			return err
		})
		c, ended := f.connect("192.0.2.1")
		(<-conns).Abort(cause)
		if err := <-ended; err != cause {
			t.Errorf("ended with %v", err)
		}
		<-done
		expectEnd(t, c)
		f.sessions.Wait()
	})
}

// A last word reaches a client that is still talking: the connection is not
// reset under it.
func TestLinger(t *testing.T) {
	f := newFixture(func(_ context.Context, c *server.Conn) error {
		if _, err := c.ReadLine(100); err != nil {
			return err
		}
		c.Printf("-ERR enough\r\n")
		c.Linger()
		return nil
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.Serve(context.Background(), l, func() *server.Endpoint { return &f.endpoint }) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, strings.Repeat("x\r\n", 10_000)); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(c); string(got) != "-ERR enough\r\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	c.Close()
	if err := f.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != server.ErrServerClosed {
		t.Error(err)
	}
}
