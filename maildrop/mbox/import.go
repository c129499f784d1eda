package mbox

import (
	"context"
	"errors"
	"fmt"
	"io"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// ErrImport means a mailbox that unique-ids cannot be imported into.
var ErrImport = errors.New("no unique-ids can be imported")

// A Candidate is a message that [Store.Import] may give another unique-id.
type Candidate struct {
	UID  string // the one that it has
	Size int64  // on the wire
	// Served: clients may have been shown UID, or another one before.
	Served bool
	// Fixed: it keeps UID, because its header begins with a line that would
	// belong to a field on top of it.
	Fixed bool
}

// Import gives the messages of the mailbox that l locks unique-ids that they
// had elsewhere, by a field X-UIDL on top of each, in place of others that it
// has; the messages are the same for POP3. choose is called with all messages,
// in order, and a function that opens one of them; it returns their unique-ids,
// "" for one that keeps what it has, or nil, and nothing is written.
//
// It needs UIDs to be ByHeader, and a new file that takes the name: ErrImport.
// On an error, or after a crash, either all have what they had, or all have what
// they were given.
func (s *Store) Import(ctx context.Context, l maildrop.Lease, choose func(all []Candidate, open func(i int) io.ReadCloser) ([]string, error)) error {
	err := s.importUIDs(ctx, l, func(im *importing) ([]string, error) { return choose(im.candidates(), im.open) })
	if err != nil {
		return fmt.Errorf("import into %q: %w", l.Name(), err)
	}
	return nil
}

func (s *Store) importUIDs(ctx context.Context, l maildrop.Lease, choose func(*importing) ([]string, error)) error {
	if s.UIDs != ByHeader && s.UIDs != "" {
		return fmt.Errorf("%w: X-UIDL does not count where uidl is %q", ErrImport, s.UIDs)
	}
	spot, err := s.spot(l.Name(), (*durable.Dir).Open)
	if missing(err) {
		return nothing(choose)
	}
	if err != nil {
		return err
	}
	defer spot.close()
	h, err := spot.lock(ctx, true, false)
	if missing(err) {
		return nothing(choose)
	}
	if err != nil {
		return err
	}
	defer h.release()
	im, err := h.survey(ctx)
	if err != nil {
		return err
	}
	uids, err := choose(im)
	if err != nil || uids == nil {
		return err
	}
	if err := maildrop.Live(l); err != nil {
		return err
	}
	return im.write(ctx, uids)
}

// nothing lets choose see that there is no mailbox.
func nothing(choose func(*importing) ([]string, error)) error {
	_, err := choose(&importing{old: new(index)})
	return err
}

// An importing is a locked mailbox as it was read.
type importing struct {
	*hold
	stamp
	old      *index
	validity uint32
	entries  []*entry // with the unique-ids that they have
	all      []*entry // but for a pseudo one
}

// survey reads the mailbox, and writes nothing but what a crash left undone.
func (h *hold) survey(ctx context.Context) (*importing, error) {
	if err := h.notice(); err != nil {
		return nil, err
	}
	if err := h.repair(ctx); err != nil {
		return nil, err
	}
	st, err := h.file.Stat()
	if err != nil {
		return nil, err
	}
	im := &importing{hold: h, stamp: stampOf(&st), old: h.spot.readIndex()}
	if im.entries, im.validity, err = h.scanAll(ctx, h.file, st.Size); err != nil {
		return nil, fmt.Errorf("%s: %w", h.spot.path(), err)
	}
	assign(im.entries, im.old, h.spot.store.UIDs, im.validity)
	for _, e := range im.entries {
		if e.flags&pseudo == 0 {
			im.all = append(im.all, e)
		}
	}
	return im, nil
}

// scanAll reads a file from its beginning.
func (h *hold) scanAll(ctx context.Context, file *durable.File, size int64) (all []*entry, validity uint32, err error) {
	sc := newScanner(whole{file}, size, h.spot.store.format(), func(e *entry) {
		h.touch()
		all = append(all, e)
	})
	err = sc.scan(ctx, 0)
	return all, sc.validity, err
}

func (im *importing) candidates() []Candidate {
	served := map[digest]bool{}
	for _, known := range [][]entry{im.old.entries, im.old.last} {
		for _, e := range known {
			served[e.digest] = true
		}
	}
	all := make([]Candidate, len(im.all))
	for i, e := range im.all {
		all[i] = Candidate{UID: e.uid, Size: e.size, Served: served[e.digest], Fixed: im.folded(e)}
	}
	return all
}

// folded: the first line of the text would continue a field on top of it.
func (im *importing) folded(e *entry) bool {
	var first [1]byte
	from, to := e.text()
	n, err := im.file.ReadAt(first[:], from)
	return from < to && (err != nil || n == 0 || first[0] == ' ' || first[0] == '\t')
}

// open opens a message as clients see it.
func (im *importing) open(i int) io.ReadCloser {
	im.touch()
	from, to := im.all[i].text()
	return newReader(part(im.file, from, to), im.spot.store.format())
}

// An edit puts a text in the place of a part of the file.
type edit struct {
	span
	text []byte
}

// write gives the messages their unique-ids.
func (im *importing) write(ctx context.Context, uids []string) error {
	next, err := im.adopt(uids)
	if err != nil {
		return err
	}
	edits, err := im.edits(uids)
	if err != nil {
		return err
	}
	if len(edits) == 0 {
		return im.spot.writeIndex(next, true)
	}
	if !im.mayRename() {
		return fmt.Errorf("%w: %s cannot be rewritten as a new file, which takes a lock file, rewrite = %q, and no extended attributes",
			ErrImport, im.spot.path(), Auto)
	}
	file, err := im.rewriteByRename(func(file *durable.File) error { return im.fill(ctx, file, edits, next) })
	if err != nil {
		return fmt.Errorf("%w: %s cannot be rewritten as a new file: %w", ErrImport, im.spot.path(), err)
	}
	defer file.Close()
	im.remember(file, next)
	return im.spot.writeIndex(next, true) // until then the old one counts, whatever the file says
}

// adopt returns the index with the new unique-ids, which are the entries' then.
func (im *importing) adopt(uids []string) (*index, error) {
	if len(uids) != len(im.all) {
		return nil, fmt.Errorf("%w: %d unique-ids for %d messages", ErrImport, len(uids), len(im.all))
	}
	used := make(map[string]bool, len(uids))
	for i, e := range im.all {
		if uids[i] != "" {
			e.uid = uids[i]
		}
		if !validUID([]byte(e.uid)) || used[e.uid] {
			return nil, fmt.Errorf("%w: %.80q would be several messages' unique-id, or is none", ErrImport, e.uid)
		}
		used[e.uid] = true
	}
	next := &index{stamp: im.stamp, made: im.spot.store.made(), validity: im.validity}
	for _, e := range im.entries {
		next.entries = append(next.entries, *e)
	}
	for _, g := range im.old.gone {
		if !used[g.uid] {
			next.gone = append(next.gone, g)
		}
	}
	return next, nil
}

// edits are what makes the file say uids: the field on top of each message whose
// own says something else, and no field by which another one claims one of them.
func (im *importing) edits(uids []string) (all []edit, err error) {
	given := make(map[string]bool, len(uids))
	for _, uid := range uids {
		given[uid] = uid != ""
	}
	for i, e := range im.all {
		if e.xuidl == e.uid || uids[i] == "" && !given[e.xuidl] {
			continue
		}
		if uids[i] != "" && im.folded(e) {
			return nil, fmt.Errorf("%w: no field can be put on top of the message %s", ErrImport, uids[i])
		}
		fields, err := im.fields(e)
		if err != nil {
			return nil, err
		}
		if from, _ := e.text(); uids[i] != "" {
			line, err := im.line(e, uids[i])
			if err != nil {
				return nil, err
			}
			all = append(all, edit{span{from, from}, line})
		}
		all = append(all, fields...)
	}
	return all, nil
}

// line is the field of a message, with the line end that its From_ line has.
func (im *importing) line(e *entry, uid string) ([]byte, error) {
	var end [2]byte
	if _, err := im.file.ReadAt(end[:], e.offset+int64(e.from)-2); err != nil {
		return nil, err
	}
	if end[0] != '\r' {
		return []byte("X-UIDL: " + uid + "\n"), nil
	}
	return []byte("X-UIDL: " + uid + "\r\n"), nil
}

// fields removes all fields X-UIDL of a message, folded ones too.
func (im *importing) fields(e *entry) (all []edit, err error) {
	at, to := e.text()
	lex := newLexer(part(im.file, at, to))
	defer lex.free()
	f := filter{format: im.spot.store.format()}
	ours := false
	for {
		p, err := lex.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if p.first {
			was := f.hidden && ours
			f.field(p)
			ours = f.hidden && (p.head && controlField(p.text) == "X-UIDL" || was && (p.text[0] == ' ' || p.text[0] == '\t'))
		}
		if f.body {
			return all, nil
		}
		if ours {
			all = append(all, edit{span: span{at, at + int64(len(p.text))}})
		}
		at += int64(len(p.text))
	}
}

// fill writes the new file, reads it, and gives next its entries: each message
// must be what it was.
func (im *importing) fill(ctx context.Context, file *durable.File, edits []edit, next *index) error {
	at, from := int64(0), int64(0)
	for _, e := range append(edits, edit{span: span{im.Size, im.Size}}) {
		if err := copySpan(im.hold, file, at, im.file, span{from, e.start}, nil); err != nil {
			return err
		}
		at += e.start - from
		if _, err := file.WriteAt(e.text, at); err != nil {
			return err
		}
		at, from = at+int64(len(e.text)), e.end
	}
	if st, err := im.file.Stat(); err != nil || stampOf(&st) != im.stamp {
		return errors.Join(errChanged, err)
	}
	entries, validity, err := im.scanAll(ctx, file, at)
	if err != nil {
		return err
	}
	if len(entries) != len(im.entries) || validity != im.validity {
		return fmt.Errorf("%d messages would be %d", len(im.entries), len(entries))
	}
	for i, e := range entries {
		was := im.entries[i]
		if e.digest != was.digest || e.size != was.size || e.flags&pseudo != was.flags&pseudo {
			return fmt.Errorf("the message %s would be another", was.uid)
		}
		e.uid = was.uid
		next.entries[i] = *e
	}
	return nil
}
