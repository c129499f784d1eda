package main

import (
	"testing"

	"kpopd/config"
	"kpopd/server/pop3"
)

// What a configuration may prefer, replies can be in.
func TestLanguages(t *testing.T) {
	for _, l := range config.Languages() {
		if !pop3.IsLanguage(string(l)) {
			t.Errorf("no replies in %q", l)
		}
	}
}
