package migrate

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Login says how to log in to the old server.
type Login struct {
	// URL is pop3s://HOST[:PORT], or pop3://HOST[:PORT], where TLS begins by
	// STLS.
	URL *url.URL
	// User and Password are sent by USER and PASS; with Authzid by AUTH PLAIN,
	// for a user who may act as others.
	User, Password, Authzid string
	// Ticket, if it is set, logs in by SASL GSSAPI in place of a password, to act
	// as User: it begins the exchange with the server of a host, over TLS or, if
	// state is nil, in the clear.
	Ticket func(ctx context.Context, host string, state *tls.ConnectionState) (Security, error)
	// TLS is whom to trust. nil: the system's authorities.
	TLS *tls.Config
	// Clear: pop3 without STLS is taken, where the password and the mail's
	// headers cross in the clear.
	Clear bool
	// Timeout bounds the wait for each reply. 0: two minutes.
	Timeout time.Duration
}

// A Client is a POP3 session that changes nothing (RFC 1939). One goroutine
// owns it.
type Client struct {
	conn    net.Conn
	r       *bufio.Reader
	timeout time.Duration
	capa    map[string]bool
	stop    func() bool
}

// Dial connects and logs in. The end of ctx ends the session.
func Dial(ctx context.Context, l Login) (*Client, error) {
	c := &Client{timeout: l.Timeout}
	if c.timeout == 0 {
		c.timeout = 2 * time.Minute
	}
	config := l.TLS.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	config.ServerName, config.MinVersion = l.URL.Hostname(), tls.VersionTLS12
	addr, err := address(l.URL)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{Timeout: c.timeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c.use(conn)
	c.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if l.URL.Scheme == "pop3s" {
		err = c.secure(ctx, config)
	}
	if err == nil {
		_, err = c.reply() // the greeting
	}
	if err == nil {
		err = c.login(ctx, l, config)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", l.URL.Host, err)
	}
	return c, nil
}

// address returns where the server of a URL listens.
func address(u *url.URL) (string, error) {
	port := map[string]string{"pop3": "110", "pop3s": "995"}[u.Scheme]
	if port == "" || u.Hostname() == "" {
		return "", fmt.Errorf("%s: neither pop3s://HOST nor pop3://HOST", u.Redacted())
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)), nil
}

func (c *Client) use(conn net.Conn) {
	c.conn, c.r = conn, bufio.NewReaderSize(conn, 32<<10)
}

// secure begins TLS. What the server sent before would be nobody's.
func (c *Client) secure(ctx context.Context, config *tls.Config) error {
	if c.r.Buffered() > 0 {
		return errors.New("the server sends text before TLS has begun")
	}
	conn := tls.Client(c.conn, config)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	c.use(conn)
	return nil
}

// login proves who we are, under TLS where l does not say otherwise.
func (c *Client) login(ctx context.Context, l Login, config *tls.Config) error {
	if strings.ContainsAny(l.User+l.Password+l.Authzid, "\r\n\x00") {
		return errors.New("a user name or password with a line end")
	}
	c.capabilities()
	if _, secure := c.conn.(*tls.Conn); !secure && (c.capa["STLS"] || !l.Clear) {
		if _, err := c.cmd("STLS"); err != nil { // RFC 2595 §4
			return fmt.Errorf("no TLS: %w", err)
		}
		if err := c.secure(ctx, config); err != nil {
			return err
		}
		c.capabilities()
	}
	if l.Ticket != nil {
		return c.gssapi(ctx, l)
	}
	if l.Authzid != "" {
		plain := l.Authzid + "\x00" + l.User + "\x00" + l.Password // RFC 4616 §2
		_, err := c.cmd("AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte(plain)))
		return err
	}
	if _, err := c.cmd("USER " + l.User); err != nil {
		return err
	}
	_, err := c.cmd("PASS " + l.Password)
	if err == nil && !c.capa["PIPELINING"] {
		c.capabilities() // RFC 2449 §5: there may be more now
	}
	return err
}

// capabilities asks for them. A server that knows none has none.
func (c *Client) capabilities() {
	c.capa = map[string]bool{}
	_ = c.list("CAPA", func(line string) error {
		word, _, _ := strings.Cut(line, " ")
		c.capa[strings.ToUpper(word)] = true
		return nil
	})
}

// ErrReply is an -ERR of the server.
var ErrReply = errors.New("the server says")

// cmd sends a command, which an error does not repeat but for its first word,
// and returns the reply's text.
func (c *Client) cmd(line string) (string, error) {
	word, _, _ := strings.Cut(line, " ")
	err := c.send(line)
	var text string
	if err == nil {
		text, err = c.reply()
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", word, err)
	}
	return text, nil
}

// send sends a line.
func (c *Client) send(line string) error {
	_ = c.conn.SetDeadline(time.Now().Add(c.timeout))
	_, err := io.WriteString(c.conn, line+"\r\n")
	return err
}

// line reads a line, without its end.
func (c *Client) line() (string, error) {
	_ = c.conn.SetDeadline(time.Now().Add(c.timeout))
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return strings.TrimRight(string(line), "\r\n"), err
}

// reply reads a status line.
func (c *Client) reply() (string, error) {
	text, err := c.line()
	if err != nil {
		return "", err
	}
	if rest, ok := strings.CutPrefix(text, "+OK"); ok {
		return strings.TrimSpace(rest), nil
	}
	return "", fmt.Errorf("%w %.200q", ErrReply, text)
}

// list sends a command and calls fn with each line of the reply.
func (c *Client) list(cmd string, fn func(line string) error) error {
	if _, err := c.cmd(cmd); err != nil {
		return err
	}
	n := 0
	lines := bufio.NewScanner(c.body())
	lines.Buffer(make([]byte, 4096), maxLine)
	for lines.Scan() {
		if n++; n > maxMessages {
			return fmt.Errorf("%s: more than %d lines", cmd, maxMessages)
		}
		if err := fn(lines.Text()); err != nil {
			return fmt.Errorf("%s: %w", cmd, err)
		}
	}
	return lines.Err()
}

// body reads a reply of many lines, to the line that is a dot only. Each read
// has a deadline of its own.
func (c *Client) body() io.Reader {
	return &timed{c, textproto.NewReader(c.r).DotReader()}
}

type timed struct {
	c *Client
	r io.Reader
}

func (t *timed) Read(p []byte) (int, error) {
	_ = t.c.conn.SetDeadline(time.Now().Add(t.c.timeout))
	return t.r.Read(p)
}

// Messages returns what UIDL and LIST show, without headers.
func (c *Client) Messages() ([]Old, error) {
	var all []Old
	err := c.list("UIDL", func(line string) error {
		n, uid, ok := strings.Cut(strings.TrimRight(line, " "), " ")
		if !ok || n != strconv.Itoa(len(all)+1) {
			return formatf("%.100q where message %d is due", line, len(all)+1)
		}
		all = append(all, Old{UID: uid})
		return nil
	})
	if err != nil {
		return nil, err
	}
	at := 0
	err = c.list("LIST", func(line string) (err error) {
		f := strings.Fields(line)
		if at == len(all) || len(f) < 2 || f[0] != strconv.Itoa(at+1) {
			return formatf("%.100q where message %d of %d is due", line, at+1, len(all))
		}
		all[at].Size, err = number63(f[1])
		at++
		return err
	})
	if err == nil && at != len(all) {
		err = formatf("UIDL shows %d messages, and LIST %d", len(all), at)
	}
	return all, err
}

// window is how many commands are sent ahead.
const window = 64

// Headers sets the digests of all messages that have none, by TOP, which marks
// nothing as read. done is called after each.
func (c *Client) Headers(all []Old, done func(*Old) error) error {
	var missing []int
	for i := range all {
		if all[i].Header == "" {
			missing = append(missing, i)
		}
	}
	ahead := 1
	if c.capa["PIPELINING"] { // RFC 2449 §6.6
		ahead = window
	}
	sent := 0
	for at, i := range missing {
		if sent == at {
			batch := missing[sent:min(sent+ahead, len(missing))]
			var cmds strings.Builder
			for _, k := range batch {
				fmt.Fprintf(&cmds, "TOP %d 0\r\n", k+1)
			}
			_ = c.conn.SetDeadline(time.Now().Add(c.timeout))
			if _, err := io.WriteString(c.conn, cmds.String()); err != nil {
				return err
			}
			sent += len(batch)
		}
		if err := c.header(&all[i]); err != nil {
			return fmt.Errorf("TOP %d 0: %w", i+1, err)
		}
		if err := done(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// header reads the reply to TOP.
func (c *Client) header(o *Old) (err error) {
	if _, err := c.reply(); err != nil {
		return err
	}
	body := c.body()
	if o.Header, err = DigestHeader(body); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(body, maxTop))
	if err == nil && n == maxTop {
		err = fmt.Errorf("more than %d octets", maxTop)
	}
	return err
}

// maxTop bounds a header.
const maxTop = 64 << 20

// Quit ends the session in good order. Nothing was marked.
func (c *Client) Quit() error {
	_, err := c.cmd("QUIT")
	return errors.Join(err, c.Close())
}

// Close ends the session.
func (c *Client) Close() error {
	if c.stop != nil {
		c.stop()
	}
	return c.conn.Close()
}
