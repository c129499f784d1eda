package migrate_test

import (
	"fmt"
	"strings"
	"testing"

	"kpopd/maildrop/migrate"
	"kpopd/maildrop/uidl"
)

// looks makes messages of "unique-id or base name, header, size".
func looks(text string) (old []migrate.Old, local []migrate.Local) {
	for line := range strings.FieldsSeq(text) {
		f := strings.Split(line, "/")
		var size int64
		fmt.Sscan(f[2], &size)
		old = append(old, migrate.Old{UID: f[0], Header: f[1], Size: size})
		local = append(local, migrate.Local{Base: f[0], Header: f[1], Size: size})
	}
	return old, local
}

func TestMatch(t *testing.T) {
	for name, c := range map[string]struct {
		old, local         string
		rows, gone, fresh  string
		ambiguous, resized int
	}{
		"by header":               {"u1/a/10 u2/b/10 u3/c/10", "1/c/10 2/a/10 3/b/10", "2=u1 3=u2 1=u3", "", "", 0, 0},
		"twins in order":          {"u1/a/10 u2/b/10 u3/a/10", "1/a/10 2/a/10 3/b/10", "1=u1 3=u2 2=u3", "", "", 0, 0},
		"another size":            {"u1/a/10 u2/b/11", "1/a/12 2/b/11", "1=u1 2=u2", "", "", 0, 1},
		"sizes tell them apart":   {"u1/a/10 u2/a/11", "1/a/11 2/a/10", "2=u1 1=u2", "", "", 0, 0},
		"no size known":           {"u1/a/0", "1/a/11", "1=u1", "", "", 0, 0},
		"a twin more there":       {"u1/a/10 u2/a/10", "1/a/10", "", "", "1", 2, 0},
		"a twin more here":        {"u1/a/10", "1/a/10 2/a/10", "", "", "1 2", 1, 0},
		"twins of another size":   {"u1/a/10 u2/a/11", "1/a/12 2/a/13", "", "", "1 2", 2, 0},
		"one of two has its size": {"u1/a/10 u2/a/11", "1/a/10 2/a/13", "1=u1", "", "2", 1, 0},
		"gone and new":            {"u1/a/10 u2/b/10", "1/b/10 2/c/10", "1=u2", "u1", "2", 0, 0},
		"no header":               {"u1//10", "1//10", "", "", "1", 1, 0},
		"unique-id twice":         {"u/a/10 u/b/10 v/c/10", "1/a/10 2/b/10 3/c/10", "3=v", "", "1 2", 2, 0},
		"no unique-id":            {strings.Repeat("x", 71) + "/a/10", "1/a/10", "", "", "1", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			old, _ := looks(c.old)
			_, local := looks(c.local)
			r, err := migrate.Match(old, local)
			must(t, err)
			var rows, gone []string
			for base, row := range r.List.All() {
				rows = append(rows, base+"="+row.UID)
			}
			for _, o := range r.Gone {
				gone = append(gone, o.UID)
			}
			same(t, []string{strings.Join(rows, " "), strings.Join(gone, " "), strings.Join(r.New, " ")}, []string{c.rows, c.gone, c.fresh})
			if len(r.Ambiguous) != c.ambiguous || len(r.Resized) != c.resized {
				t.Errorf("ambiguous %q, resized %q", r.Ambiguous, r.Resized)
			}
		})
	}
}

// A unique-id that a message here has by its name is not given to another.
func TestTaken(t *testing.T) {
	old, _ := looks("2/a/10")
	_, local := looks("1/a/10 2/b/10")
	if _, err := migrate.Match(old, local); err == nil || !strings.Contains(err.Error(), "the old unique-id of 1 is the one that 2 has here") {
		t.Errorf("%v", err)
	}
}

func TestKeep(t *testing.T) {
	result := func() *migrate.Result {
		old, _ := looks("u1/a/10 u2/b/10")
		_, local := looks("1/a/10 2/b/10 3/c/10")
		r, err := migrate.Match(old, local)
		must(t, err)
		return r
	}
	rows := func(l *uidl.List) (all []string) {
		for base, row := range l.All() {
			all = append(all, fmt.Sprint(base, row))
		}
		return all
	}
	before := new(uidl.List)
	must(t, before.Add("1", uidl.Row{UID: "u1", Order: 7, Hidden: true}))
	must(t, before.Add("3", uidl.Row{UID: "three", Order: 1, Hidden: true}))
	must(t, before.Add("gone", uidl.Row{UID: "gone"}))
	r := result()
	must(t, r.Keep(nil, false))
	must(t, r.Keep(before, false))
	same(t, rows(r.List), []string{"1{u1 1 10 true}", "2{u2 2 10 false}", "3{three 0 0 true}"})
	must(t, before.Add("2", uidl.Row{UID: "other"}))
	if err := result().Keep(before, false); err == nil || !strings.Contains(err.Error(), "1 messages have other unique-ids") {
		t.Errorf("%v", err)
	}
	r = result()
	must(t, r.Keep(before, true))
	same(t, rows(r.List)[1:2], []string{"2{u2 2 10 false}"})
}
