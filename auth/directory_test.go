package auth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"kpopd/auth"
)

// lookupFunc is a Directory of one function.
type lookupFunc func(auth.Identity) (auth.Identity, error)

func (f lookupFunc) Lookup(_ context.Context, id auth.Identity) (auth.Identity, error) { return f(id) }

func TestDirectories(t *testing.T) {
	fails := func(err error) auth.Directory {
		return lookupFunc(func(auth.Identity) (auth.Identity, error) { return auth.Identity{}, err })
	}
	knows := lookupFunc(func(id auth.Identity) (auth.Identity, error) {
		id.Groups = []string{"known"}
		return id, nil
	})
	unknown := fails(auth.Refuse(auth.ErrUnknown, "x"))
	for _, c := range []struct {
		name  string
		all   auth.Directories
		known bool
		err   error
	}{
		{"none", nil, false, nil},
		{"nobody knows", auth.Directories{unknown, unknown}, false, nil},
		{"the second knows", auth.Directories{unknown, knows}, true, nil},
		{"the first decides", auth.Directories{knows, fails(auth.ErrDenied)}, true, nil},
		{"disabled", auth.Directories{fails(auth.ErrDenied), knows}, false, auth.ErrDenied},
		{"an outage is no answer", auth.Directories{fails(auth.ErrUnavailable), knows}, false, auth.ErrUnavailable},
		{"an outage beside it", auth.Directories{fails(fmt.Errorf("%w, %w", auth.ErrUnknown, auth.ErrUnavailable)), knows}, false, auth.ErrUnavailable},
	} {
		id, err := c.all.Lookup(t.Context(), auth.Identity{User: "alice"})
		if !errors.Is(err, c.err) || (len(id.Groups) > 0) != c.known || err == nil && id.User != "alice" {
			t.Errorf("%s: %+v, %v", c.name, id, err)
		}
	}
}
