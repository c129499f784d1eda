package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxRead is the most that file() reads.
const maxRead = 64 << 10

// An outside is what a load read from the environment and from files. After
// close it gives what it has, and reads nothing: a login never makes the
// server read a file, and all logins see the same.
type outside struct {
	closed bool
	vars   map[string]string
	files  map[string]string
}

func newOutside() *outside {
	return &outside{vars: map[string]string{}, files: map[string]string{}}
}

// close ends reading and returns the names of the files that were read.
func (o *outside) close() []string {
	o.closed = true
	return slices.Sorted(maps.Keys(o.files))
}

var errClosed = errors.New("it was not read when the configuration was loaded")

// env returns an environment variable, or the first fallback.
func (o *outside) env(name string, fallback ...string) (string, error) {
	if s, ok := o.vars[name]; ok {
		return s, nil
	}
	if !o.closed {
		if s, ok := os.LookupEnv(name); ok {
			if !utf8.ValidString(s) {
				return "", errors.New("it is no UTF-8")
			}
			o.vars[name] = s
			return s, nil
		}
	}
	switch {
	case len(fallback) > 0:
		return fallback[0], nil
	case o.closed:
		return "", errClosed
	}
	return "", errors.New("no such environment variable is set")
}

// file returns the text of a file, whose name may be relative to dir, without
// the line ends at its end.
func (o *outside) file(dir, name string) (string, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	if s, ok := o.files[name]; ok {
		return s, nil
	}
	if o.closed {
		return "", errClosed
	}
	text, err := readBounded(name, maxRead)
	if err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err // the name is in the message already, or hidden
		}
		return "", err
	}
	if !utf8.Valid(text) {
		return "", errors.New("it is no UTF-8")
	}
	s := strings.TrimRight(string(text), "\r\n")
	o.files[name] = s
	return s, nil
}

func (o *outside) envFunction() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "name", Type: cty.String}},
		VarParam: &function.Parameter{Name: "default", Type: cty.String},
		Type: func(args []cty.Value) (cty.Type, error) {
			if len(args) > 2 {
				return cty.NilType, function.NewArgErrorf(2, "env takes a name and one default")
			}
			return cty.String, nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var fallback []string
			for _, a := range args[1:] {
				fallback = append(fallback, a.AsString())
			}
			s, err := o.env(args[0].AsString(), fallback...)
			return cty.StringVal(s), err
		},
	})
}

func (o *outside) fileFunction(dir string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := o.file(dir, args[0].AsString())
			return cty.StringVal(s), err
		},
	})
}
