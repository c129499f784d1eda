package krb5

import (
	"testing"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
	"kpopd/auth/authtest"
)

// A gssSASL makes a gssInitiator a client in go-sasl's terms.
type gssSASL struct {
	*gssInitiator
	t        testing.TB
	complete bool // the AP-REP was read, or is not awaited
}

func (c *gssSASL) Start() (mech string, ir []byte, err error) {
	c.complete = !c.mutual
	return "GSSAPI", c.first(c.t), nil
}

func (c *gssSASL) Next(challenge []byte) ([]byte, error) {
	if !c.complete {
		c.complete = true
		c.gssInitiator.complete(c.t, challenge)
		return []byte{}, nil
	}
	if _, _, err := c.cfx.unwrap(challenge); err != nil {
		return nil, err
	}
	return c.cfx.wrap(c.reply, false), nil
}

func TestGSSAPIConformance(t *testing.T) {
	for name, mutual := range map[string]bool{"mutual": true, "not mutual": false} {
		t.Run(name, func(t *testing.T) {
			g, m := newTestGSSAPI(t)
			authtest.TestMechanism(t, authtest.Mechanism{
				Mechanism: g,
				Peer:      gssPeer,
				Forbidden: []auth.Peer{{}, testPeer},
				Client: func(t testing.TB) sasl.Client {
					i := newInitiator(t, m)
					i.mutual, i.reply = mutual, []byte("\x01\x00\x00\x00bob")
					return &gssSASL{gssInitiator: i, t: t}
				},
				Want:   auth.Identity{User: "alice", Authzid: "bob"},
				Rounds: 300, // TestGSSAPIMutations has more
			})
		})
	}
}
