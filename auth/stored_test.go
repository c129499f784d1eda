package auth_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"kpopd/auth"
)

// Keys of the examples of RFC 7677 §3 and RFC 5802 §5.
const (
	pencil256 = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	pencil1   = "4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="
)

// authPassword is the same in the notation of RFC 5803.
func authPassword(scheme, keys string) string {
	f := strings.Split(keys, ",")
	return scheme + "$" + f[0] + ":" + f[1] + "$" + f[2] + ":" + f[3]
}

func TestParseStored(t *testing.T) {
	spaced := strings.ReplaceAll(authPassword("SCRAM-SHA-256", pencil256), "$", "  $ ")
	for text, scheme := range map[string]string{
		"{SCRAM-SHA-256}" + pencil256: "SCRAM-SHA-256", "{scram-sha-1}" + pencil1: "SCRAM-SHA-1",
		authPassword("SCRAM-SHA-256", pencil256): "SCRAM-SHA-256", authPassword("SCRAM-SHA-1", pencil1): "SCRAM-SHA-1",
		" " + spaced + " ": "SCRAM-SHA-256", "{PLAIN}pencil": "PLAIN", "{cleartext}pencil": "PLAIN", "{PLAIN.b64}cGVuY2ls": "PLAIN",
		"{CRAM-MD5}" + auth.EncodeCRAM("pencil"): "CRAM-MD5",
	} {
		s, err := auth.ParseStored(text)
		if err != nil || s.Scheme() != scheme || !s.Matches("pencil") || s.Matches("") || s.Matches("Pencil") {
			t.Errorf("%s: %q, %v", text, s.Scheme(), err)
		}
		shown := fmt.Sprintf("%v %+v %#v %s", s, &s, s, s) + slog.AnyValue(s).Resolve().String()
		if strings.ReplaceAll(strings.ReplaceAll(shown, "[redacted]", ""), " ", "") != "" {
			t.Errorf("shown as %s", shown)
		}
	}
	if (auth.Stored{}).Matches("decoy") || (auth.Stored{}).Matches("") {
		t.Error("nobody's secret matches")
	}
}

func TestParseStoredErrors(t *testing.T) {
	long := authPassword("SCRAM-SHA-256", strings.Replace(pencil256, "4096", "2000001", 1))
	for _, text := range []string{
		"", "hunter2", "{}hunter2", "{SSHA}hunter2", "{hunter2}x", "{PLAIN}", "{PLAIN.rot13}hunter2", "{SCRAM-SHA-512}" + pencil256,
		"$$", "SCRAM-SHA-256$$", "MD5$hunter2$hunter2", "SCRAM-SHA-256$4096:hunter2$hunter2:hunter2", "$6$salt$hunter2",
		authPassword("scram-sha-256", pencil256), authPassword("SCRAM-SHA-1", pencil256), authPassword("SCRAM-SHA-512", pencil256), long,
		authPassword("SCRAM-SHA-256", pencil256) + "$", authPassword("SCRAM-SHA-256", pencil256) + ":", authPassword("{SCRAM-SHA-256", pencil256),
	} {
		if s, err := auth.ParseStored(text); err == nil || strings.Contains(err.Error(), "hunter2") || s.Scheme() != "" {
			t.Errorf("%s: %q, %v", text, s.Scheme(), err)
		}
	}
}

// FuzzParseStored: what is taken proves what it was made of and costs no more
// than it may; no error repeats any of it.
func FuzzParseStored(f *testing.F) {
	for _, seed := range []string{
		"{PLAIN}pencil", "{PLAIN.hex}70", "{SCRAM-SHA-256}" + pencil256, authPassword("SCRAM-SHA-1", pencil1),
		"{CRAM-MD5}" + auth.EncodeCRAM("x"), "$$", "{", "}", "{.}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const canary = "c4n4ry-"
		if _, err := auth.ParseStored(canary + text); err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("the error repeats the secret: %v", err)
		}
		s, err := auth.ParseStored(text)
		if err != nil {
			return
		}
		if plain, ok := s.Plain(); ok && !s.Matches(string(plain)) {
			t.Errorf("%q does not match", text)
		}
		for _, hash := range []string{"SHA-1", "SHA-256"} {
			if keys, ok := s.SCRAM(hash); ok && (keys.Iterations > auth.MaxIterations || len(keys.Salt) > 64 || len(keys.StoredKey) == 0) {
				t.Errorf("%q: %+v", text, keys)
			}
		}
		if proven, _ := s.Proves(auth.CRAMMD5{User: "u", Challenge: "c", Digest: strings.Repeat("0", 32)}); proven {
			t.Errorf("%q proves a digest of zeros", text)
		}
	})
}
