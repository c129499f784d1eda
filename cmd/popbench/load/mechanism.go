package load

import (
	"bytes"
	"crypto/md5" // RFC 1939 §7
	"encoding/base64"
	"errors"
	"fmt"
)

// mechanisms log a client in as a user, once it is connected.
var mechanisms = map[string]func(c *client, user int) error{
	"user": (*client).userPass, "plain": (*client).plain, "apop": (*client).apop,
	"gssapi": (*client).gssapi, "kpop": (*client).kpop,
}

// userPass logs in by USER and PASS (RFC 1939 §7), in one write where the
// server takes that.
func (c *client) userPass(user int) error {
	if c.run.pipelining {
		c.out = append(append(append(c.out[:0], "USER "...), c.run.o.Users.Name(user)...), "\r\n"...)
		c.out = append(append(append(c.out, "PASS "...), c.run.o.Password...), "\r\n"...)
		if _, err := c.one(c.out); err != nil {
			return err
		}
		_, err := c.ok()
		return err
	}
	if _, err := c.command("USER ", c.run.o.Users.Name(user)); err != nil {
		return err
	}
	_, err := c.command("PASS ", c.run.o.Password)
	return err
}

// command sends a command with an argument and reads its reply of one line.
func (c *client) command(word, argument string) ([]byte, error) {
	c.out = append(append(append(c.out[:0], word...), argument...), "\r\n"...)
	return c.one(c.out)
}

// plain logs in by SASL PLAIN (RFC 4616 §2) with an initial response.
func (c *client) plain(user int) error {
	text := "\x00" + c.run.o.Users.Name(user) + "\x00" + c.run.o.Password
	_, err := c.command("AUTH PLAIN ", base64.StdEncoding.EncodeToString([]byte(text)))
	return err
}

// apop logs in by APOP.
func (c *client) apop(user int) error {
	from, to := bytes.IndexByte(c.greeting, '<'), bytes.LastIndexByte(c.greeting, '>')
	if from < 0 || to < from {
		return errors.New("the server's greeting has no timestamp for APOP")
	}
	sum := md5.Sum(append(c.greeting[from:to+1:to+1], c.run.o.Password...))
	_, err := c.command("APOP ", fmt.Sprintf("%s %x", c.run.o.Users.Name(user), sum))
	return err
}
