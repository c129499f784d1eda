package auth

import "context"

// A Directory knows more of people than their names. Lookup returns id with
// the attributes and groups of its entry added. An error wraps ErrUnknown
// where there is no entry, ErrDenied where the entry is disabled, or
// ErrUnavailable. It is safe for concurrent use and returns soon after ctx
// ends.
type Directory interface {
	Lookup(ctx context.Context, id Identity) (Identity, error)
}

// Directories are asked in order until one knows the identity. One that none
// knows stays as it is: rules that need an attribute do not match it.
type Directories []Directory

var _ Directory = Directories(nil)

// Lookup implements [Directory]. It never returns ErrUnknown.
func (d Directories) Lookup(ctx context.Context, id Identity) (Identity, error) {
	for _, each := range d {
		found, err := each.Lookup(ctx, id)
		switch {
		case err == nil:
			return found, nil
		case !isUnknown(err):
			return Identity{}, err
		}
	}
	return id, nil
}
