package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
	"kpopd/auth/ldap"
	"kpopd/testenv"
)

// TestEmptyPassword: to a directory that answers success to anything, as one
// does to a bind without a password, nothing comes that could be one.
func TestEmptyPassword(t *testing.T) {
	s := &stub{}
	conf := stubConfig(s.start(t))
	search := open(t, conf)
	conf.Filter, conf.BindAs = nil, []ldap.Template{template("${user}@corp.example")}
	direct := open(t, conf)
	for _, d := range []auth.Authenticator{search, direct, auth.Chain{search}} {
		for _, password := range []string{"", "\x00", "\x00x", "x\x00", strings.Repeat("x", 1025)} {
			if _, err := try(t, d, "alice", password); !errors.Is(err, auth.ErrCredentials) {
				t.Errorf("%q: %v", password, err)
			}
		}
	}
	for _, bind := range s.sent() { // a chain does the work of a wrong password
		if !strings.HasSuffix(bind, ",dc=test placeholder") {
			t.Errorf("bind: %q", bind)
		}
	}
	if id, err := try(t, search, "alice", "   "); err != nil || id.User != "alice" {
		t.Errorf("a password of spaces: %+v, %v", id, err)
	}
}

// TestNamelessEntry: to bind with a password and no name succeeds as well.
func TestNamelessEntry(t *testing.T) {
	s := &stub{find: func(send func(*ber.Packet)) { send(entry("", map[string]string{"uid": "alice"})) }}
	if _, err := try(t, open(t, stubConfig(s.start(t))), "alice", "x"); !errors.Is(err, auth.ErrUnknown) || len(s.sent()) > 0 {
		t.Errorf("%v, binds: %q", err, s.sent())
	}
}

// TestOtherEntry: a directory that answers with somebody else's entry.
func TestOtherEntry(t *testing.T) {
	s := &stub{}
	if id, err := try(t, open(t, stubConfig(s.start(t))), "bob", "x"); !errors.Is(err, auth.ErrUnknown) || len(s.sent()) > 0 {
		t.Errorf("%+v, %v, binds: %q", id, err, s.sent())
	}
}

// TestManyEntries: ten thousand answers where two were asked for.
func TestManyEntries(t *testing.T) {
	for _, size := range []int{10, 10_000} {
		s := &stub{find: func(send func(*ber.Packet)) {
			for i := range 10_000 {
				send(entry(fmt.Sprintf("cn=%d", i), map[string]string{"uid": "alice", "x": strings.Repeat("x", size)}))
			}
		}}
		_, err := try(t, open(t, stubConfig(s.start(t))), "alice", "x")
		if !errors.Is(err, auth.ErrCredentials) && !errors.Is(err, auth.ErrUnavailable) || len(s.sent()) > 0 {
			t.Errorf("%v, binds: %q", err, s.sent())
		}
	}
}

// TestReasons: what Active Directory, 389 Directory Server and OpenLDAP's
// ppolicy say reaches the log, and the client learns nothing of it.
func TestReasons(t *testing.T) {
	data := func(code string) string {
		return "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data " + code + ", v1db1\x00"
	}
	for _, c := range []struct {
		code       int
		diagnostic string
		controls   *ber.Packet
		is         error
		reason     string
	}{
		{49, data("525"), nil, auth.ErrCredentials, "unknown-user"},
		{49, data("52e"), nil, auth.ErrCredentials, "wrong-password"},
		{49, data("530"), nil, auth.ErrCredentials, "logon-hours"},
		{49, data("531"), nil, auth.ErrCredentials, "workstation-not-allowed"},
		{49, data("532"), nil, auth.ErrCredentials, "password-expired"},
		{49, data("533"), nil, auth.ErrCredentials, "account-disabled"},
		{49, data("701"), nil, auth.ErrCredentials, "account-expired"},
		{49, data("773"), nil, auth.ErrCredentials, "password-must-change"},
		{49, data("775"), nil, auth.ErrCredentials, "account-locked"},
		{49, data("999"), nil, auth.ErrCredentials, "wrong-password"},
		{49, "", nil, auth.ErrCredentials, "wrong-password"},
		{49, "", policy(0), auth.ErrCredentials, "password-expired"},
		{49, "", policy(1), auth.ErrCredentials, "account-locked"},
		{0, "", policy(2), auth.ErrCredentials, "password-must-change"},
		{19, "Exceed password retry limit.", nil, auth.ErrCredentials, "account-locked"},
		{53, "Account inactivated.", nil, auth.ErrCredentials, "account-disabled"},
		{48, "", nil, auth.ErrCredentials, "no-password"},
		{32, "", nil, auth.ErrCredentials, "bind-refused"},
		{13, "", nil, auth.ErrUnavailable, "directory-wants-tls"},
		{8, "", nil, auth.ErrUnavailable, "directory-wants-tls"},
		{10, "", nil, auth.ErrUnavailable, "directory-answer"},
		{51, "", nil, auth.ErrUnavailable, "directory-unavailable"},
		{80, "", nil, auth.ErrUnavailable, "directory-unavailable"},
		{200, "", nil, auth.ErrUnavailable, "directory-unavailable"},
	} {
		s := &stub{bind: func(dn, _ string) (int, string, *ber.Packet) { return c.code, c.diagnostic, c.controls }}
		id, err := try(t, open(t, stubConfig(s.start(t))), "alice", "x")
		if !errors.Is(err, c.is) || auth.Reason(err) != c.reason || id.User != "" {
			t.Errorf("%d %q: %q, %v", c.code, c.diagnostic, auth.Reason(err), err)
		}
	}
}

// TestDeadline: every way to be silent ends with the deadline, and says that
// nobody could tell.
func TestDeadline(t *testing.T) {
	w := testenv.Start(t)
	plain, tls := strings.TrimPrefix(w.LDAP(t).URL, "ldap://"), strings.TrimPrefix(w.LDAP(t).TLSURL, "ldaps://")
	quietTLS := &stub{ext: func(c net.Conn) bool { // StartTLS, and then nothing
		m := ber.NewSequence("")
		m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
		m.AppendChild(result(goldap.ApplicationExtendedResponse, 0, ""))
		c.Write(m.Bytes())
		io.Copy(io.Discard, c)
		return false
	}}
	for name, u := range map[string]string{
		"silent":             silent(t),
		"silent, LDAPS":      strings.Replace(silent(t), "ldap:", "ldaps:", 1),
		"silent in TLS":      quietTLS.start(t),
		"stalls in TLS":      "ldaps://" + testenv.Fault{CutDown: 100, Stall: true}.Proxy(t, tls),
		"stalls in StartTLS": "ldap://" + testenv.Fault{CutDown: 200, Stall: true}.Proxy(t, plain),
		"stalls in search":   "ldaps://" + testenv.Fault{CutUp: 1000, Stall: true}.Proxy(t, tls),
	} {
		conf := config(t, w, testenv.PeopleDN)
		conf.URLs, conf.Timeout = []string{u}, 200*time.Millisecond
		begun := time.Now()
		_, err := try(t, open(t, conf), "alice", w.Password("alice"))
		if took := time.Since(begun); !errors.Is(err, auth.ErrUnavailable) || took < 150*time.Millisecond || took > 20*time.Second {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
}

// TestCutAnywhere cuts the connection to a real server behind any number of
// octets: a login succeeds or nobody could tell, and no one is let in by half
// an answer.
func TestCutAnywhere(t *testing.T) {
	w := testenv.Start(t)
	plain := strings.TrimPrefix(w.LDAP(t).URL, "ldap://")
	for cut := int64(1); cut < 700; cut += 13 {
		for _, reset := range []bool{false, true} {
			conf := config(t, w, testenv.PeopleDN)
			conf.URLs, conf.Clear = []string{"ldap://" + testenv.Fault{CutDown: cut, Reset: reset}.Proxy(t, plain)}, true
			d := open(t, conf)
			if _, err := try(t, d, "alice", w.Password("alice")); err != nil && !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("cut behind %d octets: %v", cut, err)
			}
			if _, err := try(t, d, "alice", "wrong"); !errors.Is(err, auth.ErrUnavailable) && !errors.Is(err, auth.ErrCredentials) {
				t.Errorf("cut behind %d octets: a wrong password: %v", cut, err)
			}
		}
	}
}

// TestGarbage: a server that speaks something else.
func TestGarbage(t *testing.T) {
	for _, text := range []string{
		"\x00", "220 mail.example.test ESMTP\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "0\x00", "0\x80", "0\x84\xff\xff\xff\xff",
		"0\x0c\x02\x01\x01a\x07\n\x01\x00\x04\x00\x04\x00", // success, to a search
		"0\x05\x02\x01\x01a\x00", "0\x03\x02\x01\x01", "0\x07\x02\x01\x01a\x02\n\x00", "0\x07\x02\x01\x01e\x02\n\x00",
		strings.Repeat("0\x80", 5000), strings.Repeat("\x04\x00", 1<<20),
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					c.Read(make([]byte, 1))
					c.Write([]byte(text))
					c.Close()
				})
			}
		})
		conf := stubConfig("ldap://" + l.Addr().String())
		conf.Timeout = 2 * time.Second
		if _, err := try(t, open(t, conf), "alice", "x"); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%.20q: %v", text, err)
		}
		l.Close()
		wg.Wait()
	}
}

// TestCanceled: who waits for a silent server can go away.
func TestCanceled(t *testing.T) {
	conf := stubConfig(silent(t))
	conf.Timeout = time.Hour
	d := open(t, conf)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := d.Authenticate(ctx, auth.Peer{}, auth.Password{User: "alice", Secret: "x"})
	if !errors.Is(err, auth.ErrUnavailable) || auth.Reason(err) != "canceled" {
		t.Error(err)
	}
}

// TestServiceRefused: where the directory refuses the service, that is an
// outage, the next server is asked, and the password is not sent again at each
// login, or the service would be locked out.
func TestServiceRefused(t *testing.T) {
	no := func(string, string) (int, string, *ber.Packet) { return 49, "", nil }
	s := &stub{bind: no}
	conf := stubConfig(s.start(t))
	conf.BindDN, conf.BindPassword = "cn=service", func() (auth.Secret, error) { return "wrong", nil }
	d := open(t, conf)
	for range 10 {
		if _, err := try(t, d, "alice", "x"); !errors.Is(err, auth.ErrUnavailable) {
			t.Error(err)
		}
	}
	if n := len(s.sent()); n > 2 { // the first, and the first probe
		t.Errorf("%d binds of the service", n)
	}
	conf.BindPassword = func() (auth.Secret, error) { return "", nil }
	unasked := &stub{}
	conf.URLs = []string{unasked.start(t)}
	if _, err := try(t, open(t, conf), "alice", "x"); !errors.Is(err, auth.ErrUnavailable) || len(unasked.sent()) > 0 {
		t.Errorf("with an empty password of the service: %v, binds %q", err, unasked.sent())
	}
}

// TestNoStartTLS: a server that does not do StartTLS gets no password, whatever
// the reason that it gives.
func TestNoStartTLS(t *testing.T) {
	for _, code := range []int{1, 2, 49, 52, 53} {
		s := &stub{ext: func(c net.Conn) bool {
			m := ber.NewSequence("")
			m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, ""))
			m.AppendChild(result(goldap.ApplicationExtendedResponse, code, ""))
			c.Write(m.Bytes())
			return true
		}}
		conf := stubConfig(s.start(t))
		conf.Clear, conf.BindAs, conf.Filter = false, []ldap.Template{template("${user}@corp.example")}, nil
		if _, err := try(t, open(t, conf), "alice", "x"); !errors.Is(err, auth.ErrUnavailable) || len(s.sent()) > 0 {
			t.Errorf("%d: %v, binds %q", code, err, s.sent())
		}
	}
}

// TestTooManyGroups: half of somebody's groups are none.
func TestTooManyGroups(t *testing.T) {
	s := &stub{find: func(send func(*ber.Packet)) {
		send(entry("cn=alice", map[string]string{"uid": "alice", "memberOf;range=0-1499": "cn=g,dc=test"}))
	}}
	if _, err := try(t, open(t, stubConfig(s.start(t))), "alice", "x"); !errors.Is(err, auth.ErrUnavailable) {
		t.Error(err)
	}
}

// TestTooMuch: an entry that is too large to read is nobody else's trouble.
func TestTooMuch(t *testing.T) {
	var large atomic.Bool
	s := &stub{find: func(send func(*ber.Packet)) {
		attrs := map[string]string{"uid": "alice"}
		if large.Load() {
			attrs["x"] = strings.Repeat("x", 5<<20)
		}
		send(entry("cn=alice", attrs))
	}}
	d := open(t, stubConfig(s.start(t)))
	for range 2 {
		large.Store(true)
		if _, err := try(t, d, "alice", "x"); !errors.Is(err, auth.ErrUnavailable) {
			t.Error(err)
		}
		large.Store(false)
		if _, err := try(t, d, "alice", "x"); err != nil {
			t.Errorf("after a large entry: %v", err)
		}
	}
}

// TestLookupSpelling: an entry that the lookup finds under another name might
// be disabled, and is not passed over.
func TestLookupSpelling(t *testing.T) {
	s := &stub{}
	d := open(t, stubConfig(s.start(t)))
	// The last two are alice to a directory, and to SASLprep: the name that was
	// proven is somebody else's all the same.
	for _, user := range []string{"\u00e1lice", "al\u0130ce", "\uff41lice", "alice\u00ad"} {
		id, err := d.Lookup(t.Context(), auth.Identity{User: user})
		if !errors.Is(err, auth.ErrDenied) || auth.Reason(err) != "other-spelling" {
			t.Errorf("%q: %+v, %v", user, id, err)
		}
	}
}

// TestBoundByName: who bound under a name that tells no entry is looked up, and
// what was found decides.
func TestBoundByName(t *testing.T) {
	for control, is := range map[string]error{"512": nil, "514": auth.ErrDenied} {
		s := &stub{find: func(send func(*ber.Packet)) {
			send(entry("cn=alice", map[string]string{"uid": "alice", "userAccountControl": control, "memberOf": "cn=g,dc=test"}))
		}}
		conf := stubConfig(s.start(t))
		conf.Filter, conf.BindAs = nil, []ldap.Template{template("${user}@corp.example")}
		id, err := try(t, open(t, conf), "ALICE", "x")
		if !errors.Is(err, is) || is == nil && (id.User != "alice" || strings.Join(id.Groups, " ") != "cn=g,dc=test g") {
			t.Errorf("%s: %+v, %v", control, id, err)
		}
		conf.LookupFilter = nil
		if id, err := try(t, open(t, conf), "ALICE", "x"); err != nil || id.User != "ALICE" || len(id.Groups) > 0 {
			t.Errorf("without a lookup: %+v, %v", id, err)
		}
	}
}

// TestBudgetOfBindName: names that a template makes one are one account.
func TestBudgetOfBindName(t *testing.T) {
	s := rightIs("right")
	conf := stubConfig(s.start(t))
	conf.Filter, conf.LookupFilter = nil, nil
	conf.BindAs = []ldap.Template{func(id auth.Identity, escape func(string) string) (string, error) {
		user, _, _ := strings.Cut(id.User, "@")
		return escape(user) + "@corp.example", nil
	}}
	conf.LockoutThreshold, conf.LockoutWindow = 5, time.Hour
	d := open(t, conf)
	for i := range 20 {
		if _, err := try(t, d, fmt.Sprintf("alice@%d", i), "guess"); !errors.Is(err, auth.ErrCredentials) {
			t.Error(err)
		}
	}
	if n := len(s.sent()); n != 4 {
		t.Errorf("%d failed binds", n)
	}
}

// TestBudgetOfSpellings: the spellings that Active Directory takes for one name
// are one account.
func TestBudgetOfSpellings(t *testing.T) {
	for _, text := range []string{"${user}@corp.example", "uid=${user},dc=test"} {
		s := rightIs("right")
		conf := stubConfig(s.start(t))
		conf.Filter, conf.LookupFilter, conf.BindAs = nil, nil, []ldap.Template{template(text)}
		conf.LockoutThreshold, conf.LockoutWindow = 5, time.Hour
		d := open(t, conf)
		for i, user := range []string{"strasse", "STRASSE", "straße", "strásse", "stra\u0301sse", "ｓtrasse", "strasse\U0001f600", "str\u00adasse",
			"strasse\u200b", "strasse\ufff9", "strasse\U000e0100", "ſtrasse"} {
			if _, err := try(t, d, user, fmt.Sprint("guess", i)); !errors.Is(err, auth.ErrCredentials) {
				t.Errorf("%+q: %v", user, err)
			}
		}
		if n := len(s.sent()); n != 4 {
			t.Errorf("%s: %d failed binds", text, n)
		}
	}
}

// TestTooMuchBeforeTLS: whoever is on the way can answer StartTLS, and is not
// listened to for long.
func TestTooMuchBeforeTLS(t *testing.T) {
	s := &stub{ext: func(c net.Conn) bool {
		c.Write([]byte("0\x84\x00\x10\x00\x00" + strings.Repeat("\x04\x00", 100_000)))
		io.Copy(io.Discard, c)
		return false
	}}
	conf := stubConfig(s.start(t))
	conf.Clear, conf.Timeout = false, 5*time.Second
	if _, err := try(t, open(t, conf), "alice", "x"); !errors.Is(err, auth.ErrUnavailable) || !strings.Contains(err.Error(), "answers too much") {
		t.Error(err)
	}
}
