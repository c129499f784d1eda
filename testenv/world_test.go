package testenv_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"kpopd/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.M(m)) }

// backends runs a test in every world this machine can make.
func backends(t *testing.T, test func(t *testing.T, w *testenv.World)) {
	t.Run("native", func(t *testing.T) { test(t, testenv.New(t, testenv.Native)) })
}

func TestTickets(t *testing.T) {
	backends(t, func(t *testing.T, w *testenv.World) {
		for _, user := range []string{"alice", "bob", "alice/admin", "carol@PARTNER.TEST"} {
			if kvno := w.Ticket(t, w.Kinit(t, user), "pop/localhost"); kvno != 1 {
				t.Errorf("%s: ticket for key version %d, want 1", user, kvno)
			}
		}
	})
}

func TestRotate(t *testing.T) {
	backends(t, func(t *testing.T, w *testenv.World) {
		keytab := w.AddService(t, "pop/rotate.example.test")
		before := keys(t, keytab)
		w.Rotate(t, keytab, "pop/rotate.example.test", true)
		both := keys(t, keytab)
		if len(both) != 2*len(before) {
			t.Errorf("after a rotation that keeps old keys: %q, before: %q", both, before)
		}
		if kvno := w.Ticket(t, w.Kinit(t, "alice"), "pop/rotate.example.test"); kvno != 2 {
			t.Errorf("new tickets are for key version %d, want 2", kvno)
		}
		w.Rotate(t, keytab, "pop/rotate.example.test", false)
		if after := keys(t, keytab); len(after) != len(before) || !strings.HasPrefix(after[0], "3 ") {
			t.Errorf("after a rotation that replaces: %q", after)
		}
		if info, err := os.Stat(keytab); err != nil || info.Mode() != 0o600 {
			t.Errorf("keytab: %v, %v", info.Mode(), err)
		}
	})
}

// keys lists a keytab: "kvno principal" a line.
func keys(t *testing.T, keytab string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), testenv.Need(t, "klist"), "-k", keytab).CombinedOutput()
	if err != nil {
		t.Fatalf("klist: %v: %s", err, out)
	}
	var lines []string
	for _, line := range strings.Split(string(out), "\n")[3:] {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
