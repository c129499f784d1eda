package load

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A workload is what clients do. An operation is one session, except where
// step counts its own.
type workload struct {
	// step is one operation, or many that are counted one by one.
	step func(c *client, user int, claimed claim) error
	many bool // step counts its operations
	once bool // each account is used once
	// mechanism is the only one that it can be.
	mechanism string
}

var workloads = map[string]workload{
	"login": {step: (*client).stepLogin},
	"check": {step: (*client).stepCheck},
	"first": {step: (*client).stepCheck, once: true},
	"list":  {step: (*client).stepList},
	"retr":  {step: (*client).stepRetr, many: true},
	"drain": {step: (*client).stepDrain, many: true, once: true},

	"gssapi": {step: (*client).stepLogin, mechanism: "gssapi"},
	"kpop":   {step: (*client).stepLogin, mechanism: "kpop"},
	"idle":   {step: (*client).stepHold},
	"abuse":  {step: (*client).stepLogin},
}

// Workloads returns the names of all workloads.
func Workloads() []string { return slices.Sorted(maps.Keys(workloads)) }

// errContent is that a server sends something else than it should.
var errContent = errors.New("wrong content")

// begin logs in and asks for STAT.
func (c *client) begin(user int) (messages int64, err error) {
	if err := c.login(user); err != nil {
		return 0, err
	}
	if err := c.send(stat); err != nil {
		return 0, err
	}
	messages, _, err = c.stat()
	return messages, err
}

func (c *client) stepLogin(user int, _ claim) error {
	if _, err := c.begin(user); err != nil {
		return err
	}
	return c.quit()
}

func (c *client) stepCheck(user int, _ claim) error {
	messages, err := c.begin(user)
	if err != nil {
		return err
	}
	if _, err := c.one(uidl); err != nil {
		return err
	}
	lines, octets, err := c.rows()
	if err != nil {
		return err
	}
	if int64(lines) != messages {
		return fmt.Errorf("%w: STAT says %d messages, and UIDL %d", errContent, messages, lines)
	}
	c.op = tally{octets: octets, verified: 1}
	return c.quit()
}

func (c *client) stepList(user int, _ claim) error {
	if err := c.login(user); err != nil {
		return err
	}
	if _, err := c.one(list); err != nil {
		return err
	}
	_, octets, err := c.rows()
	if err != nil {
		return err
	}
	c.op.octets = octets
	return c.quit()
}
