package migrate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/maildrop/migrate"
	"kpopd/testenv"
)

// uwMbox is an mbox as UW imapd leaves it.
const uwMbox = `From MAILER-DAEMON Mon Nov 23 10:00:00 2026
Date: 23 Nov 2026 10:00:00 +0000
From: Mail System Internal Data <MAILER-DAEMON@old.example>
Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA
Message-ID: <1795428000@old.example>
X-IMAP: 1328372224 0000000009
Status: RO

This text is part of the internal format of your mail folder.

From a@example.test Mon Nov 23 10:00:01 2026
Message-ID: <1@example.test>
Subject: one
Status: RO
X-Status:
X-Keywords:
X-UID: 7

body
>From here on

From there and there is no new message
From b@example.test Mon Nov 23 10:00:02 2026
Subject: two
X-UID: 8
Message-ID: <2@example.test>

From c@example.test Mon Nov 23 10:00:03 2026
Message-ID: <3@example.test>

never shown
`

// A Dovecot that serves the mbox shows the unique-ids that are read from it.
func TestReadMbox(t *testing.T) {
	t.Parallel()
	mail := t.TempDir()
	inbox := filepath.Join(mail, "alice", "inbox")
	must(t, os.MkdirAll(filepath.Join(mail, "alice", "mail"), 0o755))
	must(t, os.WriteFile(inbox, []byte(uwMbox), 0o600))
	f, err := migrate.ParseFormat(migrate.UWFormat)
	must(t, err)
	old, err := migrate.ReadMbox("f", strings.NewReader(uwMbox), f)
	must(t, err)
	var got []string
	for i, o := range old {
		want, err := migrate.DigestHeader(strings.NewReader([]string{"Message-ID: <1@example.test>\nSubject: one\n", "Subject: two\nMessage-ID: <2@example.test>\n"}[i]))
		must(t, err)
		if o.Header != want || o.Size != 0 {
			t.Errorf("%v, want the header %s", o, want)
		}
		got = append(got, o.UID)
	}
	d := testenv.StartDovecot(t, testenv.DovecotConfig{
		Mail: mail, Users: map[string]string{"alice": "sesam"},
		Extra: "mail_location = mbox:" + mail + "/%u/mail:INBOX=" + inbox + "\nmbox_write_locks = fcntl\npop3_uidl_format = " + migrate.UWFormat + "\n",
	})
	var want []string
	for _, s := range shown(t, d.POP3) {
		uid, _, _ := strings.Cut(s, " ")
		want = append(want, uid)
	}
	if len(want) != 3 {
		t.Fatalf("Dovecot shows %q\n%s", want, d.Log())
	}
	same(t, got, want[:2]) // the third has a new UID
}

func TestMboxRefused(t *testing.T) {
	uid, err := migrate.ParseFormat("%u")
	must(t, err)
	from := "From a@example.test Mon Nov 23 10:00:01 2026\n"
	for text, want := range map[string]string{
		"hello\n":                   `f: message 1: not understood: "hello\n" is no beginning of an mbox`,
		from + "X-UID: 1\n\nbody\n": "f: message 1: not understood: there is no UIDVALIDITY: no field X-IMAP or X-IMAPbase",
		from + "X-IMAPbase: 7 9\nX-UID: 1\n\n" + from + "X-UID: x\n\n": `f: message 2: not understood: "x" is no number of 32 bits`,
	} {
		if _, err := migrate.ReadMbox("f", strings.NewReader(text), uid); !errors.Is(err, migrate.ErrFormat) || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if old, err := migrate.ReadMbox("f", strings.NewReader(""), migrate.Format{}); old != nil || err != nil {
		t.Errorf("an empty mbox: %v, %v", old, err)
	}
}

func FuzzReadMbox(f *testing.F) {
	f.Add(uwMbox)
	f.Add(strings.ReplaceAll(uwMbox, "\n", "\r\n"))
	format, err := migrate.ParseFormat(migrate.UWFormat)
	must(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		old, err := migrate.ReadMbox("f", strings.NewReader(text), format)
		if err != nil && old != nil {
			t.Fatalf("%v beside %v", old, err)
		}
		for _, o := range old {
			if len(o.UID) != 16 {
				t.Fatalf("unique-id %q", o.UID)
			}
		}
	})
}
