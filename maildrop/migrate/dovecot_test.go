package migrate_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/maildrop/migrate"
	"kpopd/testenv"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shown returns what a server shows of alice's maildrop, "unique-id size" by
// number.
func shown(t testing.TB, addr string) []string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(60*time.Second)))
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "USER alice\r\nPASS sesam\r\nUIDL\r\nLIST\r\nQUIT\r\n")
	var lists [2][]string
	at := -3 // greeting, USER, PASS
	for at < 2 {
		line, err := r.ReadString('\n')
		must(t, err)
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "-ERR"):
			t.Fatal(line)
		case strings.HasPrefix(line, "+OK") && at < 0, line == ".":
			at++
		case !strings.HasPrefix(line, "+OK"):
			_, value, _ := strings.Cut(line, " ")
			lists[at] = append(lists[at], value)
		}
	}
	for i := range lists[0] {
		lists[0][i] += " " + lists[1][i]
	}
	return lists[0]
}

// putMail puts messages into a new Maildir.
func putMail(t testing.TB, maildir string, names ...string) {
	t.Helper()
	for _, sub := range []string{"tmp", "new", "cur"} {
		must(t, os.MkdirAll(filepath.Join(maildir, sub), 0o755))
	}
	for i, name := range names {
		text := fmt.Sprintf("From: a@example.test\nMessage-ID: <%d@example.test>\nSubject: %s\n\nbody\n.dot\n", i, strings.Repeat("x", i))
		must(t, os.WriteFile(filepath.Join(maildir, name), []byte(text), 0o644))
	}
}

// readList reads what Dovecot left in a Maildir.
func readList(t testing.TB, maildir string) *migrate.UIDList {
	t.Helper()
	f, err := os.Open(filepath.Join(maildir, "dovecot-uidlist"))
	must(t, err)
	defer f.Close()
	l, err := migrate.ReadUIDList(f.Name(), f)
	must(t, err)
	return l
}

// formats are unique-ids as administrators have them, and all of the language
// that Dovecot documents.
var formats = []string{
	"%08Xu%08Xv", "%v.%u|%v-%u|%u|UID%u-%v|%%%u|%08Xv%08Xu|%f|%g|%Mf",
	"%-3u|%2u|%05u|%0.3f|%2.4g|%-4.3v|%1.04u|%2.0-3f|%.-2v|%30.2f|%Ug|%Lf|%Rv|%Ef|%Dg|%Tg",
	"%Nf|%Hf|%256Nu|%2.256Nu|%4.256Hf|%6.99Nv|%XRv|%RXv|%MUf|%2MRu|%0u|%1u|%00u|%-u|%Xf",
}

// TestFormats: the unique-ids are those that a Dovecot with the format shows,
// whose dovecot-uidlist is read.
func TestFormats(t *testing.T) {
	t.Parallel()
	mail := t.TempDir()
	maildir := filepath.Join(mail, "alice", "Maildir")
	putMail(t, maildir, "new/1328372225.M12P7.Old.example", "cur/1328372226.M1P7.old.example,S=71,W=77:2,S", "cur/1328372227.M2'P7.old:2,")
	for _, text := range formats {
		d := testenv.StartDovecot(t, testenv.DovecotConfig{
			Mail: mail, Users: map[string]string{"alice": "sesam"}, Extra: "pop3_uidl_format = " + text + "\n",
		})
		want := shown(t, d.POP3)
		d.Stop()
		f, err := migrate.ParseFormat(text)
		must(t, err)
		got := uidsAsTheyAre(t, maildir, migrate.DovecotPOP3{Format: f})
		if !slices.Equal(got, want) || len(want) != 3 {
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
		}
	}
}

// uidsAsTheyAre are the unique-ids that Dovecot would show, whether or not POP3
// permits them.
func uidsAsTheyAre(t testing.TB, maildir string, c migrate.DovecotPOP3) (all []string) {
	t.Helper()
	old, err := readList(t, maildir).Messages(c)
	must(t, err)
	for _, o := range old {
		all = append(all, fmt.Sprintf("%s %d", o.UID, o.Size))
	}
	return all
}

// TestFormatRefused: what is not understood is no unique-id.
func TestFormatRefused(t *testing.T) {
	for _, text := range []string{"%m", "%", "%08X", "%{uid", "%{md5}", "%{sha1:uid}", "%q", "%99999u", "%-99999.2u", "%{if;1;==;1;a;b}", "%{uid | hex(4)}", strings.Repeat("x", 1001)} {
		if _, err := migrate.ParseFormat(text); err == nil {
			t.Errorf("%.40q is understood", text)
		}
	}
}
