package config

import (
	gopath "path"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A Retention says how long the mail of some maildrops is kept. The first that
// names a maildrop decides. It is about maildrops and not, as an [Account] is,
// about who logs in: the sweeper that removes old mail meets no one.
type Retention struct {
	Place

	// Maildrops are patterns of names, in which '*' is any text without a
	// slash (see [path.Match]). Default: nil, all.
	Maildrops []string
	// Expire is after how many days since its delivery a message is removed,
	// or Never. Required.
	Expire int
}

// Never is a number of days that never pass.
const Never = -1

func (f *File) readRetention(d *decoder, b *hclsyntax.Block) {
	var r Retention
	r.Place = d.block(b, schema{what: "retention", fields: []field{
		may("maildrops", value(list(&r.Maildrops, pattern))),
		must("expire", value(days(&r.Expire, true))),
	}})
	f.Retentions = append(f.Retentions, r)
}

// Expire returns after how many days the mail of a maildrop is removed, or
// [Never], which holds too where no retention block names it. 0: there is no
// retention block, and nobody knows.
func (f *File) Expire(maildrop string) int {
	for _, r := range f.Retentions {
		if r.names(maildrop) {
			return r.Expire
		}
	}
	return f.expireElse()
}

// Expires returns what Expire can be, of any maildrop.
func (f *File) Expires() (all []int) {
	for _, r := range f.Retentions {
		all = append(all, r.Expire)
		if r.Maildrops == nil {
			return all
		}
	}
	return append(all, f.expireElse())
}

func (f *File) expireElse() int {
	if len(f.Retentions) > 0 {
		return Never
	}
	return 0
}

// checkKinds refuses what is for Maildirs only.
func (d *decoder) checkKinds(f *File) {
	if f.Maildrop.Kind != "mbox" {
		return
	}
	const text = "An mbox cannot do that: it is for maildrop \"maildir\"."
	for i := range f.Accounts {
		a := &f.Accounts[i]
		if a.has("deletion") && a.Deletion != DeletionRemove {
			d.errorf(a.At("deletion"), "Not for an mbox", text)
		}
		if a.MarkSeen {
			d.errorf(a.At("mark_seen"), "Not for an mbox", text)
		}
	}
	for i := range f.Retentions {
		if r := &f.Retentions[i]; r.Expire != Never {
			d.errorf(r.At("expire"), "Not for an mbox", text)
		}
	}
	if f.SweepInterval > 0 {
		d.errorf(f.At("sweep_interval"), "Not for an mbox", text)
	}
}

func (r *Retention) names(maildrop string) bool {
	for _, p := range r.Maildrops {
		if ok, _ := gopath.Match(p, maildrop); ok { // it was tried when it was read
			return true
		}
	}
	return r.Maildrops == nil
}

// checkRetentions warns of blocks that no maildrop reaches, and refuses what a
// store cannot do.
func (d *decoder) checkRetentions(f *File) {
	if f.SweepInterval > 0 && f.Maildrop.path != nil && !f.Maildrop.Invertible() {
		d.errorf(f.At("sweep_interval"), "Maildrops cannot be found", "The maildrop's path is computed, so that no name can be told from a directory. "+
			"Leave sweep_interval out, and name the maildrops to \"kpopd expire\".")
	}
	d.checkKinds(f)
	for i, r := range f.Retentions {
		if i > 0 && !f.Retentions[i-1].has("maildrops") {
			d.warnf(r.Header, "Block without effect", "The retention block before it is for all maildrops.")
			return
		}
	}
}

// pattern takes a pattern of names.
func pattern(dst *string) setter {
	return text(func(v val, s string) *complaint {
		if _, err := gopath.Match(s, ""); err != nil || s == "" || strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/") {
			return complain(`%s is not a pattern such as "partner/*".`, v.quote(s))
		}
		*dst = s
		return nil
	})
}

// maxDays is ten years: who wants more says "never".
const maxDays = 3660

// days takes a string such as "30d", of one day at least; "never" only where
// that makes sense.
func days(dst *int, never bool) setter {
	return text(func(v val, s string) *complaint {
		if never && s == "never" {
			*dst = Never
			return nil
		}
		digits, ok := strings.CutSuffix(s, "d")
		n, err := strconv.ParseUint(digits, 10, 31)
		more := map[bool]string{true: `, or "never"`}[never]
		switch {
		case !ok || err != nil:
			return complain(`%s is not a number of days such as "30d"%s.`, v.quote(s), more)
		case n < 1 || n > maxDays:
			return complain(`It must be from "1d" to "%dd"%s.`, maxDays, more)
		}
		*dst = int(n)
		return nil
	})
}
