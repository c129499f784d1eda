package pop3_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop/maildir"
)

// A line of LIST and UIDL takes no memory, and RETR of a small message takes
// little, whatever its size.
func TestAllocations(t *testing.T) {
	w := newPlainWorld(t)
	per := func(c *benchClient, command string) float64 {
		defer c.Close()
		octets := listingSize(t, c, strings.TrimSuffix(command, "\r\n"))
		return testing.AllocsPerRun(20, func() { c.ask(t, []byte(command), octets) })
	}
	for _, command := range []string{"LIST\r\n", "UIDL\r\n"} {
		var allocs []float64
		for _, messages := range []int{10, 10_000} {
			w.renew(t, slices.Repeat([]string{"A: b\n\nc\n"}, messages)...)
			allocs = append(allocs, per(newBenchClient(t, w), command))
		}
		if allocs[1] > allocs[0]+50 { // a collection empties the pools, and the race detector at times
			t.Errorf("%s: %v allocations for 10 messages, %v for 10,000", command, allocs[0], allocs[1])
		}
	}
	var allocs []float64
	for _, lines := range []int{40, 400, 4000} {
		w.withMaildir(t, new(maildir.Store), "A: b\n\n"+strings.Repeat("0123456789\n", lines))
		allocs = append(allocs, per(newBenchClient(t, w), "RETR 1\r\n"))
	}
	if most := slices.Max(allocs); most > 40 {
		t.Errorf("RETR of 440, 4,400 and 44,000 octets: %v allocations", allocs)
	}
	t.Logf("RETR: %v allocations", allocs)
}

// A client that goes away ends a listing that nobody will get.
func TestListingToNobody(t *testing.T) {
	w := newPlainWorld(t)
	w.renew(t, slices.Repeat([]string{"A: b\n\nc\n"}, 100_000)...)
	c := newBenchClient(t, w)
	fmt.Fprintf(c, "%s", strings.Repeat("UIDL\r\n", 10_000)) // a gigabyte and more
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	c.Close() // newBenchClient waits for the session to end
}
