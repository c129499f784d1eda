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
	whole := regexp.MustCompile(`(?ms)^maildrop "maildir" {.*?^}`).ReplaceAllLiteral(text, block)
	f, diags := config.Parse("example.hcl", whole)
	if len(diags) > 0 {
		t.Fatalf("%v in\n%s", diags, block)
	}
	short := regexp.MustCompile(`(?ms)^maildrop "maildir" {.*?^}`).ReplaceAllLiteral(text, []byte("maildrop \"mbox\" {\n  path = \"/var/mail/${maildrop}\"\n}"))
	g, diags := config.Parse("example.hcl", short)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	if f.Maildrop.Root != "/var/mail" || !reflect.DeepEqual(f.Maildrop.Mbox, g.Maildrop.Mbox) {
		t.Errorf("shown %+v, defaults %+v", f.Maildrop.Mbox, g.Maildrop.Mbox)
	}
}
