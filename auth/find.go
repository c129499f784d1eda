package auth

import "context"

// A Finder is an [Authenticator] that can tell whom a right password would
// prove, without one. Find returns that identity, or the error that such a
// password would meet; it is for explanations and proves nothing.
type Finder interface {
	Find(ctx context.Context, p Peer, user string) (Identity, error)
}

var _ Finder = Chain(nil)

// Find implements [Finder] with the first that knows the user.
func (c Chain) Find(ctx context.Context, p Peer, user string) (Identity, error) {
	if reason := unfitUser(user); reason != "" {
		return Identity{}, Refuse(ErrCredentials, reason)
	}
	for _, a := range c {
		f, ok := a.(Finder)
		if !ok {
			continue
		}
		if id, err := f.Find(ctx, p, user); !isUnknown(err) {
			return id, err
		}
	}
	return Identity{}, Refuse(ErrUnknown, "unknown-user")
}
