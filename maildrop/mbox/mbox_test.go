package mbox_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
	"kpopd/maildrop/storetest"
)

func TestStore(t *testing.T) {
	for _, tt := range []struct {
		format  mbox.Format
		rewrite mbox.Rewrite
	}{{mbox.RD, mbox.Auto}, {mbox.O, mbox.InPlace}, {mbox.CL, mbox.Auto}, {mbox.CL2, mbox.InPlace}} {
		t.Run(string(tt.format), func(t *testing.T) {
			t.Parallel()
			storetest.TestStore(t, func(t *testing.T) storetest.Instance { return instance(t, tt.format, tt.rewrite) })
		})
	}
}

func instance(t *testing.T, format mbox.Format, rewrite mbox.Rewrite) storetest.Instance {
	base := newBase(t, t.TempDir())
	fresh := func() *mbox.Store {
		s := newStore(base, format)
		s.Rewrite = rewrite
		return s
	}
	return storetest.Instance{
		Store: fresh(),
		Again: func(*testing.T) maildrop.Store { return fresh() },
		Disturb: func(t *testing.T, name string) {
			if format == mbox.CL || format == mbox.CL2 {
				return // a program that knows neither would count wrongly
			}
			if err := disturb(filepath.Join(base, "mail", name)); err != nil {
				t.Error(err)
			}
		},
		Files: func(name string) (string, []string) { return filepath.Join(base, "mail", name), nil },
		Keep:  func(text string) string { return keep(text, format) },
	}
}

var (
	controlLine = regexp.MustCompile(`(?i)^(status|x-status|x-uid|x-uidl|x-imap|x-imapbase|x-keywords|content-length|lines)[ \t]*:`)
	bareFrom    = regexp.MustCompile(`(?m)^From `)
)

// keep is what of a text a mailbox can hold, said once more and otherwise than
// the store does it.
func keep(text string, format mbox.Format) string {
	var out strings.Builder
	hidden, body, length := false, false, false
	for line := range strings.Lines(text) {
		switch {
		case body:
		case line == "\n" || line == "\r\n":
			body, hidden = true, false
		case line[0] != ' ' && line[0] != '\t':
			hidden = controlLine.MatchString(line)
			length = len(line) > 7 && strings.EqualFold(line[:7], "content")
		default:
			hidden = hidden && !length
		}
		if !hidden {
			out.WriteString(line)
		}
	}
	text = out.String()
	switch {
	case strings.HasSuffix(text, "\r"):
		text += "\r\n"
	case text != "" && !strings.HasSuffix(text, "\n"):
		text += "\n"
	}
	if format == mbox.O || format == mbox.CL {
		text = bareFrom.ReplaceAllString(text, ">From ")
	}
	return text
}
