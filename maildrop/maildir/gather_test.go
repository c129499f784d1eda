package maildir_test

import (
	"fmt"
	"testing"

	"kpopd/maildrop/maildir"
)

// TestGathering: names are kept whole and in order, in few pieces however many
// there are.
func TestGathering(t *testing.T) {
	name := func(i int) string {
		return fmt.Sprintf("%d.M%06dP1Q%d.host.example.test,S=4096,W=4160:2,S", 1_700_000_000+i, i, i)
	}
	const messages = 300_000
	pieces, names, err := maildir.Gather(messages, name)
	if err != nil || len(names) != messages {
		t.Fatalf("%d names of %d: %v", len(names), messages, err)
	}
	for i, got := range names {
		if got != name(i) {
			t.Fatalf("name %d is %q", i, got)
		}
	}
	if octets := messages * (2 + len(name(messages))); pieces > 10+octets/(255<<10) {
		t.Errorf("%d octets in %d pieces", octets, pieces)
	}
}
