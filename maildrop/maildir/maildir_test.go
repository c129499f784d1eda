package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/index"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.TestStore(t, func(t *testing.T) storetest.Instance {
		root := t.TempDir()
		return storetest.Instance{
			Store: newStore(root),
			Again: func(*testing.T) maildrop.Store { return newStore(root) },
			Files: filesBelow(root),
			Disturb: func(t *testing.T, name string) {
				if err := disturb(filepath.Join(root, name, "Maildir")); err != nil {
					t.Error(err)
				}
			},
		}
	})
}

func TestNothingIsMadeAtLogin(t *testing.T) {
	root := t.TempDir()
	store := newStore(root)
	d, err := maildrop.Open(t.Context(), "alice", new(memory.Locker), store)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Update(t.Context()), d.Close()); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(root); err != nil || len(list) != 0 {
		t.Errorf("root holds %v, %v; want nothing", list, err)
	}
}

// A root that is missing may be a file system that is not mounted: an error,
// no empty maildrop.
func TestMissingRoot(t *testing.T) {
	store := newStore(filepath.Join(t.TempDir(), "unmounted"))
	if d, err := maildrop.Open(t.Context(), "alice", new(memory.Locker), store); err == nil {
		t.Errorf("Open = %v without a root", d)
	}
	if err := store.Deliver(t.Context(), "alice", strings.NewReader("x\n")); err == nil {
		t.Error("Deliver succeeded without a root")
	}
}

func TestOrderAndNames(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{
		"new/1700000010.b.host", "cur/1700000010.a.host:2,S", "new/999.z.host", "cur/1700000002.x.host:2,",
		"new/noTime", "cur/1699999999.M1P1.host,S=2,W=3:2,FS", "new/99999999999999999999999.far",
	} {
		f.put(name, "x\n")
	}
	f.put("new/.hidden", "x\n")
	f.put("cur/:2,S", "x\n")
	f.put("tmp/1700000000.unfinished", "x\n")
	f.want(f.uids(), []string{
		"noTime", "999.z.host", "1699999999.M1P1.host,S=2,W=3", "1700000002.x.host",
		"1700000010.a.host", "1700000010.b.host", "99999999999999999999999.far",
	})
}

func TestUIDMapping(t *testing.T) {
	f := newFixture(t)
	long := "1700000005." + strings.Repeat("l", 60)
	for _, name := range []string{
		"1700000001.a b", "1700000002.a%20b", "1700000003.\xff\x7f\t~", "1700000004." + strings.Repeat("l", 59), long,
	} {
		f.put("new/"+name, "x\n")
	}
	got := f.uids()
	f.want(got[:4], []string{
		"1700000001.a%20b", "1700000002.a%2520b", "1700000003.%FF%7F%09~", "1700000004." + strings.Repeat("l", 59),
	})
	if hashed := got[4]; len(hashed) != 66 || !strings.HasPrefix(hashed, "%-") {
		t.Errorf("of 71 octets became %q", hashed)
	}
	f.rename("new/"+long, "cur/"+long+":2,RS")
	f.want(f.uids(), got)
}

// One base name is one message, however many files have it: an IMAP server may
// be caught between link and unlink, a backup may have been laid over.
func TestOneBaseNameOneMessage(t *testing.T) {
	f := newFixture(t)
	f.put("new/1700000001.a", "one\n")
	f.must(os.Link(filepath.Join(f.dir, "new/1700000001.a"), filepath.Join(f.dir, "cur/1700000001.a:2,S")))
	f.put("cur/1700000001.a:2,RS", "one\n")
	f.put("new/1700000002.b", "two\n")
	f.want(f.uids(), []string{"1700000001.a", "1700000002.b"})
	d := f.open()
	f.must(d.Delete(1))
	f.must(d.Update(t.Context()))
	f.must(d.Close())
	f.want(f.files(), []string{"new/1700000002.b"})
}

func TestSizesFromNames(t *testing.T) {
	f := newFixture(t)
	text := strings.Repeat("0123456\n", 1000) // 8000 octets, 9000 on the wire
	for name, want := range map[string]int64{
		"1.h,W=9001":                        9001, // believed
		"1.h,S=8000,W=9001":                 9001,
		"1.h,W=9001,S=8000":                 9001,
		"1.h,W=16000":                       16000,
		"1.h,S=8000,W=9000,T=3":             9000,
		"1.h,W=7999":                        9000, // not to be believed, from here on
		"1.h,W=16001":                       9000,
		"1.h,S=0,W=0":                       9000,
		"1.h,S=0,W=9001":                    9000,
		"1.h,S=60,W=59":                     9000,
		"1.h,S=60,W=123":                    9000,
		"1.h,W=":                            9000,
		"1.h,W=-9001":                       9000,
		"1.h,W=+9001":                       9000,
		"1.h,W=0x2329":                      9000,
		"1.h,W=9001,W=9001":                 9000,
		"1.h,W=99999999999999999999":        9000,
		"1.h,W=9999999999999999":            9000,
		"W=9001":                            9000,
		"1.h,XW=9001":                       9000,
		"1.h,S=8000":                        9000,
		"1.h,w=9001":                        9000,
		"1.h" + strings.Repeat(",T=9", 50):  9000,
		"1.h,S=8,W=10" + "\x01:2,S,W=12345": 9000,
	} {
		f.put("cur/"+name, text)
		if got := f.list()[0].Size; got != want {
			t.Errorf("%q: size %d, want %d", name, got, want)
		}
		f.must(os.Remove(filepath.Join(f.dir, "cur", name)))
	}
}

// Names of texts without a final line end are not believed: whether the one
// that is sent was counted, who knows. Nor are names of small ones, whatever
// they say.
func TestSizesOfTexts(t *testing.T) {
	f := newFixture(t)
	large := strings.Repeat("0123456\n", 1000)
	f.put("cur/1.h,S=16,W=18:2,", "A: b\n\nno newline")
	f.put("cur/2.h,S=0,W=0:2,", "")
	f.put("cur/3.h,W=5:2,", "")
	f.put("cur/4.h,S=8010,W=9010:2,", large+"no newline")
	f.put("cur/5.h,W=7:2,", "one\n")
	f.put("cur/6.h,W=4097:2,", strings.Repeat("x", 4095)+"\n")
	f.put("cur/7.h", strings.Repeat("x", 4096))
	var got []int64
	for _, m := range f.list() {
		got = append(got, m.Size)
	}
	if want := []int64{20, 0, 0, 9012, 5, 4097, 4098}; !slices.Equal(got, want) {
		t.Errorf("sizes %d, want %d", got, want)
	}
}

// Files that move during a session are found by their base names, wherever
// they are.
func TestMovedMessages(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\n")
	f.put("new/2.a", "two\n")
	f.put("cur/3.a:2,", "three\n")
	d := f.open()
	f.rename("new/1.a", "cur/1.a:2,S")
	f.rename("cur/3.a:2,", "cur/3.a:2,RS")
	for n, want := range []string{"one\n", "two\n", "three\n"} {
		if got := f.text(d, n+1); got != want {
			t.Errorf("message %d = %q, want %q", n+1, got, want)
		}
	}
	f.rename("cur/1.a:2,S", "cur/1.a:2,RS")
	f.rename("cur/3.a:2,RS", "new/3.a") // by hand
	f.must(d.Delete(1))
	f.must(d.Delete(3))
	f.must(d.Update(t.Context()))
	f.want(f.files(), []string{"new/2.a"})
}

// A Maildir whose cur is made only during the session.
func TestLateFolder(t *testing.T) {
	f := newFixture(t)
	f.must(os.Remove(filepath.Join(f.dir, "cur")))
	f.put("new/1.a", "one\n")
	f.put("new/2.a", "two\n")
	d := f.open()
	f.must(os.Mkdir(filepath.Join(f.dir, "cur"), 0o700))
	f.rename("new/1.a", "cur/1.a:2,S")
	f.rename("new/2.a", "cur/2.a:2,S")
	if got := f.text(d, 1); got != "one\n" {
		t.Errorf("message 1 = %q", got)
	}
	f.must(d.Delete(1))
	f.must(d.Update(t.Context()))
	f.want(f.files(), []string{"cur/2.a:2,S"})
}

// A folder that takes several system calls to read shows every message, though
// flags change between them.
func TestLargeFolderInMotion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const messages = 4000
	for i := range messages {
		f.put(fmt.Sprintf("cur/%d.M123456P12345Q%d.%s,S=2,W=3:2,", 1_700_000_000+i, i, strings.Repeat("h", 60)), "")
	}
	f.server()
	for range 4 {
		if n := len(f.list()); n != messages {
			t.Fatalf("a session sees %d messages of %d", n, messages)
		}
	}
}

// While an IMAP server works on the Maildir, every session sees every message,
// and what it deletes is gone for good.
func TestMovingMessages(t *testing.T) {
	t.Parallel()
	const rounds, messages = 20, 60
	for range rounds {
		f := newFixture(t)
		for i := range messages {
			f.put(fmt.Sprintf("new/%d.a,S=2,W=3", 1000+i), "x\n")
		}
		stop := f.server()
		for range 5 {
			if n := len(f.list()); n != messages {
				t.Errorf("a session sees %d messages of %d", n, messages)
			}
		}
		d := f.open()
		for n := range messages {
			f.must(d.Delete(n + 1))
		}
		err := d.Update(t.Context())
		stop()
		if left := f.files(); err != nil || len(left) > 0 {
			t.Errorf("Update = %v; left: %q", err, left)
		}
		d.Close()
	}
}

// A message that an IMAP server moves without pause is found all the same.
func TestRetrieveInMotion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put("new/1.a,S=2,W=3", "x\n")
	d := f.open()
	stop := f.server()
	for range 2000 {
		f.text(d, 1)
	}
	stop()
}

func TestRemovedUnderneath(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\n")
	f.put("new/2.a", "two\n")
	d := f.open()
	f.must(os.Remove(filepath.Join(f.dir, "new/1.a")))
	if _, err := d.Retrieve(t.Context(), 1); !errors.Is(err, maildrop.ErrVanished) {
		t.Errorf("Retrieve = %v, want ErrVanished", err)
	}
	f.must(d.Delete(1))
	f.must(d.Delete(2))
	f.must(d.Update(t.Context()))
	f.want(f.files(), nil)
}

// One message that cannot be removed does not spare the others.
func TestPartialRemoval(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\n")
	f.put("cur/2.a:2,S", "two\n")
	f.put("new/3.a", "three\n")
	d := f.open()
	f.must(os.Remove(filepath.Join(f.dir, "new/1.a")))
	f.must(os.Mkdir(filepath.Join(f.dir, "new/1.a"), 0o700)) // unlink of it fails
	for n := range 3 {
		f.must(d.Delete(n + 1))
	}
	err := d.Update(t.Context())
	if !errors.Is(err, unix.EISDIR) {
		t.Errorf("Update = %v, want EISDIR", err)
	}
	if again := d.Update(t.Context()); again != err {
		t.Errorf("Update again = %v, want the same", again)
	}
	f.want(f.files(), nil)
}

// A text is a file whose octets others can take. What is appended to it later is
// not of it.
func TestTextIsAFile(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\r\ntwo\r\nthree\r\n")
	d := f.open()
	c, err := d.Retrieve(t.Context(), 1)
	f.must(err)
	defer c.Close()
	f.put("new/1.a", "one\r\ntwo\r\nthree\r\nfour\r\n")
	file, ok := c.ReadCloser.(maildrop.File)
	if !ok || !c.WireReady || file.Len() != 17 {
		t.Fatalf("%T, ready %v", c.ReadCloser, c.WireReady)
	}
	taken := make([]byte, 10)
	n, err := unix.Read(int(file.Fd()), taken)
	f.must(err)
	file.Skip(int64(n))
	rest, err := io.ReadAll(file)
	if got := string(taken[:n]) + "|" + string(rest); got != "one\r\ntwo\r\n|three\r\n" || err != nil || file.Len() != 0 {
		t.Errorf("got %q, %v, %d left", got, err, file.Len())
	}
}

// Where a name tells a wrong size, the right one is announced from the session
// after the one that found out.
func TestRemeasure(t *testing.T) {
	f := newFixture(t)
	f.store.Index = new(index.Cache)
	long := strings.Repeat("x", 4999)
	f.put("new/1.a,W=5010", "A: b\n\n"+long+"\n") // 5009 on the wire
	wantSize := func(d *maildrop.Drop, want int64) {
		t.Helper()
		if m, err := d.Message(1); m.Size != want || err != nil {
			t.Errorf("%d octets, %v, want %d", m.Size, err, want)
		}
	}
	d := f.open()
	wantSize(d, 5010)
	f.must(d.Remeasure(t.Context(), 1))
	wantSize(d, 5010)
	f.must(d.Close())
	d = f.open()
	wantSize(d, 5009)
	f.must(os.Remove(filepath.Join(f.dir, "new/1.a,W=5010")))
	if err := d.Remeasure(t.Context(), 1); !errors.Is(err, maildrop.ErrVanished) {
		t.Errorf("Remeasure = %v, want ErrVanished", err)
	}
	if err := d.Remeasure(t.Context(), 2); !errors.Is(err, maildrop.ErrNoMessage) {
		t.Errorf("Remeasure = %v, want ErrNoMessage", err)
	}
}

func TestOpenEndsWithContext(t *testing.T) {
	f := newFixture(t)
	f.put("new/1.a", "one\n") // has to be read
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	lease, err := f.locker.Lock(ctx, "alice")
	f.must(err)
	cancel(cause)
	if _, err := f.store.Open(ctx, lease); !errors.Is(err, cause) {
		t.Errorf("Open = %v, want the cause", err)
	}
}
