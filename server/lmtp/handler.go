package lmtp

import (
	"cmp"
	"context"
	"io"
	"sync/atomic"
	"time"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/server"
)

// A Target is where the mail of a recipient goes.
type Target struct {
	Maildrop string
	Quota    maildrop.Quota
}

// A Handler is the LMTP service of one listener. All fields are set before it
// serves.
type Handler struct {
	// Hostname stands in the greeting and in Received.
	Hostname string
	// Resolve says where the mail of an address goes. Its errors are those of
	// auth, or an *Error that says more: auth.ErrUnknown for nobody's address.
	Resolve func(context.Context, Address, auth.Peer) (Target, error)
	// Distribute delivers a text, as [maildrop.Distribute] does.
	Distribute func(context.Context, []maildrop.Delivery, io.Reader) []error
	// MaxSize is the largest message, in octets. 0: no limit.
	MaxSize int64
	// MaxRecipients is how many a message may have. 0: 1,000.
	MaxRecipients int
	// DataTimeout is how long a whole message may take to come. 0: ten minutes.
	DataTimeout time.Duration
	// Share lets the recipients of one message have one file, in which none of
	// them is named.
	Share bool
	// OverQuota is the reply to a full maildrop, see [Full].
	OverQuota Error
	// NeedsTLS: nothing is taken before STARTTLS.
	NeedsTLS bool

	retired atomic.Bool
	count   atomic.Uint64 // messages
}

var _ server.Handler = (*Handler)(nil)

// Retire has clients that are connected come again, between two messages: the
// configuration that the handler was made of is no more.
func (h *Handler) Retire() { h.retired.Store(true) }

// Serve speaks LMTP on c until the client quits or the connection ends.
func (h *Handler) Serve(ctx context.Context, c *server.Conn) error {
	s := &session{h: h, c: c}
	s.c.Printf("220 %s LMTP ready\r\n", h.Hostname)
	return s.run(ctx)
}

func (h *Handler) maxRecipients() int { return cmp.Or(h.MaxRecipients, 1000) }

func (h *Handler) dataTimeout() time.Duration { return cmp.Or(h.DataTimeout, 10*time.Minute) }
