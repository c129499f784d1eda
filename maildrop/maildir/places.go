package maildir

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
)

// maxDepth is how deep below the root Places looks for Maildirs.
const maxDepth = 16

// Places calls fn with the path below the root of each Maildir that is there:
// each directory that has a new or a cur. Of a Maildir it looks no further into
// what is the Maildir's own, nor into directories whose names begin with a dot.
// It follows no links. An error of fn ends it; a directory that cannot be read
// is left out, and is an error in the end.
func (s *Store) Places(ctx context.Context, fn func(rel string) error) error {
	root, err := durable.Open(s.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	p := &placing{ctx: ctx, fn: fn}
	if err := p.in(root, "", 0); err != nil {
		return err
	}
	return errors.Join(p.unread...)
}

// A placing is one call of Places.
type placing struct {
	ctx    context.Context
	fn     func(rel string) error
	unread []error
}

// in looks at the directories in dir, whose path is rel.
func (p *placing) in(dir *durable.Dir, rel string, depth int) error {
	names, err := directoriesIn(dir)
	if err != nil {
		p.leave(err)
		return nil
	}
	isMaildir := slices.Contains(names, "new") || slices.Contains(names, "cur")
	if isMaildir && rel != "" {
		if err := p.fn(rel); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := context.Cause(p.ctx); err != nil {
			return err
		}
		if isMaildir && slices.Contains([]string{"new", "cur", "tmp", quarantineName}, name) || depth == maxDepth {
			continue
		}
		if err := p.sub(dir, rel, name, depth); err != nil {
			return err
		}
	}
	return nil
}

func (p *placing) sub(dir *durable.Dir, rel, name string, depth int) error {
	sub, err := dir.Open(name)
	switch {
	case gone(err) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, durable.ErrLink):
		return nil
	case err != nil:
		p.leave(err)
		return nil
	}
	defer sub.Close()
	if rel != "" {
		name = rel + "/" + name
	}
	return p.in(sub, name, depth+1)
}

// leave notes a directory that cannot be read; of many, the first few say
// enough.
func (p *placing) leave(err error) {
	const enough = 8
	if len(p.unread) < enough {
		p.unread = append(p.unread, fmt.Errorf("looking for maildrops: %w", err))
	}
}

// directoriesIn returns what may be directories, in order.
func directoriesIn(dir *durable.Dir) ([]string, error) {
	var names []string
	err := dir.Each(func(name []byte, kind durable.Kind) {
		if kind == durable.Directory || kind == durable.Unknown {
			names = append(names, string(name))
		}
	})
	slices.Sort(names)
	return names, err
}
