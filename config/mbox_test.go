package config_test

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"testing"

	"kpopd/config"
)

// The example's other maildrop is right too, and shows the defaults.
func TestExampleMbox(t *testing.T) {
	text, err := os.ReadFile("example.hcl")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?ms)^#     maildrop "mbox" {.*?^#     }`).Find(text)
	if shown == nil {
		t.Fatal("the example has no mbox")
	}
	block := bytes.ReplaceAll(shown, []byte("#     "), nil)
	f, g := exampleWith(t, text, block), exampleWith(t, text, []byte("maildrop \"mbox\" {\n  path = \"/var/mail/${maildrop}\"\n}"))
	if f.Maildrop.Root != "/var/mail" || !reflect.DeepEqual(f.Maildrop.Mbox, g.Maildrop.Mbox) {
		t.Errorf("shown %+v, defaults %+v", f.Maildrop.Mbox, g.Maildrop.Mbox)
	}
}

// exampleWith is the example with another maildrop, without what only a Maildir
// can do.
func exampleWith(t *testing.T, text, block []byte) *config.File {
	t.Helper()
	text = regexp.MustCompile(`(?ms)^maildrop "maildir" {.*?^}`).ReplaceAllLiteral(text, block)
	text = regexp.MustCompile(`(?ms)^retention {.*?^}`).ReplaceAllLiteral(text, nil)
	f, diags := config.Parse("example.hcl", text)
	if len(diags) > 0 {
		t.Fatalf("%v with\n%s", diags, block)
	}
	return f
}
