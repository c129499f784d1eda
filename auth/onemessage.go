package auth

import (
	"fmt"

	"github.com/emersion/go-sasl"
)

// oneMessage is where an exchange stands in which the client sends all that it
// has to say in one message, with an empty challenge before it where there was
// no initial response (RFC 4422 §3.3).
type oneMessage struct {
	asked    bool // the empty challenge is out
	finished bool // the message is in; no second guess on one exchange
}

// take returns the empty challenge, which is not nil, where the client is to be
// asked for its message, response not being it. An error ends the exchange.
func (o *oneMessage) take(response []byte) (challenge []byte, err error) {
	if o.finished || response == nil && o.asked {
		o.finished = true
		return nil, Refuse(fmt.Errorf("%w: %w", ErrCredentials, sasl.ErrUnexpectedClientResponse), "malformed")
	}
	if response == nil {
		o.asked = true
		return []byte{}, nil
	}
	o.finished = true
	return nil, nil
}
