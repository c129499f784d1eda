package userfile_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"kpopd/auth/userfile"
)

func TestParse(t *testing.T) {
	names, err := userfile.Users([]byte("# comment\n\nalice:{PLAIN}a\r\nbob:{PLAIN}b:1:1:Bob B:/home/bob:/bin/sh:userdb_x=1 userdb_y\n" +
		"a b:{PLAIN}c:vmail:vmail\nlast:{PLAIN}d"))
	slices.Sort(names)
	if want := []string{"a b", "alice", "bob", "last"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%q, %v, want %q", names, err, want)
	}
	if names, err := userfile.Users(nil); err != nil || len(names) != 0 {
		t.Errorf("an empty file: %q, %v", names, err)
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ line, message string }{
		{"hunter2", "no colon"},
		{":{PLAIN}hunter2", "no user"},
		{"alice:hunter2", "no {SCHEME}"},
		{"alice:", "no {SCHEME}"},
		{"alice:$2y$05$CCCCCCCCCCCCCCCCCCCCC.Wu1bsEWQW5nNN6kAoQ74kf4plG/SBq6", "no {SCHEME}"},
		{"alice:{LANMAN}hunter2", "scheme LANMAN is not supported"},
		{"al\xffice:{PLAIN}hunter2", "not UTF-8"},
		{"al\tice:{PLAIN}hunter2", "control character"},
		{"alice:{PLAIN}hunter2\x00", "NUL"},
		{strings.Repeat("a", 256) + ":{PLAIN}hunter2", "user longer"},
		{"alice:{PLAIN}hunter2" + strings.Repeat("x", 9000), "longer than 8192"},
		{"alice:{PLAIN}pass:hunter2!", "a secret with a colon must be encoded"},
		{"alice:{PLAIN}hunter2::::::nologin", "extra field"},
		{"alice:{PLAIN}hunter2::::::nopassword=y", "extra field"},
		{"alice:{PLAIN}hunter2::::::allow_nets=", "allow_nets"},
		{"alice:{PLAIN}hunter2::::::allow_nets=10.0.0.0/33", "allow_nets"},
		{"alice:{PLAIN}hunter2::::::allow_nets=fe80::1%eth0", "allow_nets"},
		{"alice:{PLAIN}hunter2::::::allow_nets=local", "allow_nets"},
		{"carol:{PLAIN}hunter2", "the user of line 1 again"},
	} {
		_, err := userfile.Users([]byte("carol:{PLAIN}x\n# comment\n" + test.line + "\nbob:{PLAIN}x\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "users:3: ") || !strings.Contains(err.Error(), test.message) {
			t.Errorf("%.40q: error %v, want users:3 and %q", test.line, err, test.message)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: error %v", test.line, err)
		}
	}
}

// Every line that is wrong is named, up to twenty.
func TestParseAllErrors(t *testing.T) {
	_, err := userfile.Users([]byte("x\nalice:{PLAIN}a\ny\n"))
	if err == nil || err.Error() != "users:1: no colon after the user\nusers:3: no colon after the user" {
		t.Errorf("error %v", err)
	}
	_, err = userfile.Users(bytes.Repeat([]byte("x\n"), 100_000))
	if err == nil || strings.Count(err.Error(), "\n") != 19 {
		t.Errorf("error %v", err)
	}
}

// A file of many users is read at once, and none is mistaken for another.
func TestManyUsers(t *testing.T) {
	var b strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&b, "user%d:{PLAIN}secret%d\n", i, i)
	}
	f, err := userfile.Open(write(t, b.String()), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 4711, 49_999} {
		wants(t, f, fmt.Sprint("user", i), fmt.Sprint("secret", i), "")
		wants(t, f, fmt.Sprint("user", i), fmt.Sprint("secret", i+1), "wrong-password")
	}
	wants(t, f, "user50000", "secret50000", "unknown-user")
}

// FuzzParse: no file panics the parser, and every user of a file without
// errors can be found in it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "alice:{PLAIN}x\n", "alice:{PLAIN}x:1:2:g:h:s:allow_nets=10.0.0.0/8,::1 userdb_a=b:c\r\n", "#\n\n:\n",
		"a:{SCRAM-SHA-256}" + pencil, "a:{CRYPT}" + sha512Hash + "\na:{CRYPT}" + sha512Hash, "a:{PLAIN}\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := userfile.Users(data)
		if err != nil {
			return
		}
		lines := 0
		for line := range bytes.Lines(data) {
			if trimmed := bytes.TrimRight(line, "\r\n"); len(trimmed) > 0 && trimmed[0] != '#' {
				lines++
			}
		}
		if len(names) > lines {
			t.Errorf("%d users on %d lines", len(names), lines)
		}
		for _, name := range names {
			if !bytes.Contains(data, []byte(name+":{")) {
				t.Errorf("user %q is not in the file", name)
			}
		}
	})
}
