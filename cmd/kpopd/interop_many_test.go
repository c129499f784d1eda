package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// keepMany gives bob n messages of 14 octets on the wire: links to as few files
// as the file system lets, so that a million take seconds.
func (s *site) keepMany(t testing.TB, n int) {
	t.Helper()
	const links = 30_000
	dir := filepath.Join(s.Dir, "mail", "bob", "Maildir", "cur")
	err := os.MkdirAll(dir, 0o700)
	var first string
	for i := range n {
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.M%06dP1234.pop.example.test:2,S", 1_500_000_000+i, i%1_000_000))
		if i%links == 0 {
			first = path
			err = os.WriteFile(path, []byte("A: b\n\nbody\n"), 0o600)
		} else {
			err = os.Link(first, path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// However many messages there are, STAT, LIST, UIDL, RETR and TOP take no
// memory beyond the listing that the session has, and a session that finds
// what the one before found takes no more than that one.
// KPOPD_TEST_MESSAGES=1000000 makes it a million messages.
func TestManyMessages(t *testing.T) {
	n := 100_000
	if text := os.Getenv("KPOPD_TEST_MESSAGES"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
	s := newSite(t)
	s.keepMany(t, n)
	lines := int64(0) // of LIST: "N 14" each
	for i := 1; i <= n; i++ {
		lines += int64(len(strconv.Itoa(i)) + 5)
	}
	d := s.start(t)
	start, idle := time.Now(), d.peak(t)
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	opened := d.peak(t)
	t.Logf("%d messages: login took %v and %d KiB", n, time.Since(start), (opened-idle)>>10)
	for range 4 { // what one reply kept, four would keep four times
		if got, want := c.ok("STAT"), fmt.Sprintf("+OK %d %d", n, 14*n); got != want {
			t.Errorf("STAT: %s, want %s", got, want)
		}
		for command, octets := range map[string]int64{
			"LIST": lines, "UIDL": lines + int64(n)*(int64(len("1500000000.M000000P1234.pop.example.test"))-2),
			fmt.Sprintf("RETR %d", n): 14, fmt.Sprintf("TOP %d 0", n): 8,
		} {
			if got := c.multiline(command); got != octets {
				t.Errorf("%s: %d octets, want %d", command, got, octets)
			}
		}
	}
	slack := int64(8 << 20)
	if raceDetector { // it keeps four octets of its own for each that is read
		slack *= 8
	}
	if more := d.peak(t) - opened; more > slack {
		t.Errorf("STAT, LIST and UIDL took %d KiB", more>>10)
	} else {
		t.Logf("STAT, LIST and UIDL took %d KiB", more>>10)
	}
	c.ok("QUIT")
	c = dial(t, d.addrs["clear"])
	start = time.Now()
	c.login("bob", bobPassword)
	if more := d.peak(t) - opened; more > max(slack, opened-idle) {
		t.Errorf("another session took %d KiB", more>>10)
	} else {
		t.Logf("another login took %v and %d KiB, %d KiB in all", time.Since(start), more>>10, d.peak(t)>>10)
	}
	c.ok("QUIT")
	d.stop(t)
}
