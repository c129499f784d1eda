package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"kpopd/server"
)

// An explanation is what explain says. Its JSON is stable: fields may join.
type explanation struct {
	Name      string           `json:"name"`
	Mechanism string           `json:"mechanism"`
	Authzid   string           `json:"authzid,omitempty"`
	Listener  listenerSays     `json:"listener"`
	Identity  *identitySays    `json:"identity,omitempty"`
	Directory []directorySays  `json:"directories,omitempty"`
	Rules     []ruleSays       `json:"rules,omitempty"`
	Maildrop  *maildropSays    `json:"maildrop,omitempty"`
	Acts      *impersonateSays `json:"impersonation,omitempty"`
	LetIn     bool             `json:"let_in"`
	// Reasons are why not, in the words of the log.
	Reasons []string `json:"reasons,omitempty"`
}

type listenerSays struct {
	Name    string `json:"name"`
	Address string `json:"address,omitempty"` // of the client
	Refuses string `json:"refuses,omitempty"`
}

type identitySays struct {
	User      string            `json:"user,omitempty"`
	Principal string            `json:"principal,omitempty"`
	Realm     string            `json:"realm,omitempty"`
	LocalUser string            `json:"local_user,omitempty"`
	Source    string            `json:"source,omitempty"`
	Attrs     map[string]string `json:"attributes,omitempty"`
	Groups    []string          `json:"groups,omitempty"`
	Error     string            `json:"error,omitempty"`
}

type directorySays struct {
	Source string `json:"source"`
	DN     string `json:"dn,omitempty"`
	Error  string `json:"error,omitempty"`
}

type ruleSays struct {
	Rule     string `json:"rule"` // file:line or "(default)"; "": what holds where none matches
	User     string `json:"user"` // about whom
	When     string `json:"when,omitempty"`
	Matches  bool   `json:"matches"`
	Maildrop string `json:"maildrop,omitempty"`
	Why      string `json:"why,omitempty"`
}

type maildropSays struct {
	Name   string `json:"name"`
	Path   string `json:"path,omitempty"`
	Exists bool   `json:"exists"`
	// Holder is the process that has it open. 0: nobody, or not known.
	Holder int    `json:"holder,omitempty"`
	Error  string `json:"error,omitempty"`
	// Terms are on what terms it is held.
	Terms *termsSays `json:"terms,omitempty"`
}

type termsSays struct {
	Expire     string `json:"expire,omitempty"` // as in the configuration
	LoginDelay string `json:"login_delay,omitempty"`
	Deletion   string `json:"deletion,omitempty"`
	Quarantine string `json:"quarantine,omitempty"`
	MarkSeen   string `json:"mark_seen,omitempty"`

	Quota         string `json:"quota,omitempty"`
	QuotaMessages string `json:"quota_messages,omitempty"`
}

type impersonateSays struct {
	As      string `json:"as"`
	Rule    string `json:"rule,omitempty"`
	Allowed bool   `json:"allowed"`
}

// A table aligns what is printed. Nothing that a name or a directory holds gets
// to the terminal as it is.
type table struct{ *tabwriter.Writer }

func (t table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = server.Clip(strings.ReplaceAll(c, "\n", "; "), 500)
	}
	fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

// print writes the explanation for people.
func (x *explanation) print(w io.Writer) error {
	t := table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	x.printLogin(t)
	x.printIdentity(t)
	t.Flush()
	if len(x.Rules) > 0 {
		x.printRules(w)
	}
	x.printVerdict(t)
	return t.Flush()
}

func (x *explanation) printLogin(t table) {
	t.row("name", x.Name)
	t.row("mechanism", x.Mechanism)
	offer := "lets the login come"
	if x.Listener.Refuses != "" {
		offer = "does not let it come: " + x.Listener.Refuses
	}
	t.row("listener", x.Listener.Name, offer)
	if x.Listener.Address != "" {
		t.row("address", x.Listener.Address)
	}
}

func (x *explanation) printIdentity(t table) {
	if id := x.Identity; id != nil {
		for _, f := range [...][2]string{{"user", id.User}, {"principal", id.Principal}, {"realm", id.Realm}, {"local_user", id.LocalUser}, {"source", id.Source}, {"error", id.Error}} {
			if f[1] != "" {
				t.row(f[0], f[1])
			}
		}
	}
	for _, d := range x.Directory {
		t.row("directory", d.Source, d.DN+d.Error)
	}
	if id := x.Identity; id != nil {
		for _, key := range slices.Sorted(maps.Keys(id.Attrs)) {
			t.row("attr."+key, id.Attrs[key])
		}
		for _, g := range id.Groups {
			t.row("group", g)
		}
	}
}

func (x *explanation) printRules(w io.Writer) {
	t := table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	fmt.Fprintln(t, "\nrule\tabout\tverdict\tgives\tbecause\twhen")
	for _, r := range x.Rules {
		verdict, why := "no", r.Why
		switch {
		case r.Matches && why == "":
			verdict = "yes"
		case r.Matches:
			verdict = "refuses"
		}
		rule := r.Rule
		if rule == "" {
			rule = "(none matches)"
		}
		t.row(rule, r.User, verdict, dash(r.Maildrop), dash(why), dash(r.When))
	}
	fmt.Fprintln(t)
	t.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (x *explanation) printVerdict(t table) {
	if a := x.Acts; a != nil {
		verdict := "not allowed"
		if a.Allowed {
			verdict = "allowed by " + a.Rule
		}
		t.row("acts as", a.As, verdict)
	}
	if m := x.Maildrop; m != nil {
		t.row("maildrop", m.Name)
		t.row("path", m.Path, m.state())
		m.Terms.print(t)
	}
	if x.LetIn {
		t.row("verdict", "let in")
		return
	}
	t.row("verdict", "refused: "+strings.Join(x.Reasons, ", "))
}

// state says what is known of a maildrop on disk.
func (m *maildropSays) state() string {
	state := "does not exist yet"
	if m.Exists {
		state = "exists"
	}
	switch {
	case m.Holder != 0:
		state += fmt.Sprintf(", open in process %d", m.Holder)
	case m.Error != "":
		state += ", " + m.Error
	}
	return state
}

func (x *termsSays) print(t table) {
	for _, f := range [...][2]string{{"expire", x.Expire}, {"login_delay", x.LoginDelay}, {"deletion", x.Deletion}, {"quarantine", x.Quarantine}, {"mark_seen", x.MarkSeen}, {"quota", x.Quota}, {"quota_messages", x.QuotaMessages}} {
		if f[1] != "" {
			t.row(f[0], f[1])
		}
	}
}
