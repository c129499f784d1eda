package krb5_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"kpopd/auth/krb5"
)

const replayChildEnv = "KPOPD_TEST_REPLAY_CHILD"

// TestReplayChild is not a test but the other processes of those below: it
// presents the authenticators whose numbers it reads, four at a time, and
// writes the number of each one that is accepted, as a server would answer.
func TestReplayChild(t *testing.T) {
	path := os.Getenv(replayChildEnv)
	if path == "" {
		return
	}
	r, err := krb5.OpenReplay(path, krb5.ReplayOptions{Wait: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range numbers {
				seen, err := r.Seen(context.Background(), authenticator(n), time.Now().Add(time.Hour))
				if err != nil {
					t.Error(err)
				} else if !seen {
					fmt.Fprintln(os.Stderr, n) // one write(2)
				}
			}
		})
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		n, err := strconv.Atoi(in.Text())
		if err != nil {
			t.Fatal(err)
		}
		numbers <- n
	}
	close(numbers)
	wg.Wait()
}

// A replayChild is a process that runs TestReplayChild.
type replayChild struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	say bytes.Buffer // what the testing package says
}

func startReplayChild(t *testing.T, path string) *replayChild {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := &replayChild{cmd: exec.CommandContext(ctx, os.Args[0], "-test.run=^TestReplayChild$")}
	c.cmd.Env = append(os.Environ(), replayChildEnv+"="+path)
	c.cmd.Stdout = &c.say
	out, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	return c
}

// present writes the numbers to the child and closes its input.
func (c *replayChild) present(numbers []int) {
	w := bufio.NewWriter(c.in)
	for _, n := range numbers {
		fmt.Fprintln(w, n)
	}
	w.Flush() // an error is a child that was killed
	c.in.Close()
}

// accepted reads the numbers that the child lets in, at most max of them.
func (c *replayChild) accepted(t *testing.T, max int) (numbers []int) {
	for len(numbers) < max && c.out.Scan() {
		n, err := strconv.Atoi(c.out.Text())
		if err != nil {
			t.Fatalf("child says %q", c.out.Text())
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// TestFileReplayProcesses lets processes race for the same authenticators.
func TestFileReplayProcesses(t *testing.T) {
	const processes, count = 4, 2000
	path := filepath.Join(t.TempDir(), "replay")
	times := make([]int, count)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range processes {
		c := startReplayChild(t, path) // they race for making the file, too
		go c.present(rand.Perm(count))
		wg.Go(func() {
			got := c.accepted(t, count)
			mu.Lock()
			defer mu.Unlock()
			for _, n := range got {
				times[n]++
			}
			if err := c.cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, &c.say)
			}
		})
	}
	wg.Wait()
	for n, got := range times {
		if got != 1 {
			t.Errorf("%d was accepted %d times", n, got)
		}
	}
}

// TestFileReplayKilled kills one of two processes in the middle of a storm.
// What either of them answered before is never accepted again, the other one
// goes on, and so does whoever comes next.
func TestFileReplayKilled(t *testing.T) {
	const rounds, count = 6, 1000
	path := filepath.Join(t.TempDir(), "replay")
	var answered []int
	for round := range rounds {
		numbers := make([]int, count)
		for i := range numbers {
			numbers[i] = round*count + i
		}
		victim, witness := startReplayChild(t, path), startReplayChild(t, path)
		go victim.present(shuffled(numbers))
		go witness.present(shuffled(numbers))
		witnessed := make(chan []int)
		go func() { witnessed <- witness.accepted(t, count+1) }()

		answered = append(answered, victim.accepted(t, 1+rand.IntN(count/4))...)
		victim.cmd.Process.Kill()
		answered = append(answered, victim.accepted(t, count+1)...)
		victim.cmd.Wait()
		answered = append(answered, <-witnessed...)
		if err := witness.cmd.Wait(); err != nil {
			t.Fatalf("the surviving process: %v\n%s", err, &witness.say)
		}
	}
	unique := slices.Compact(slices.Sorted(slices.Values(answered)))
	if len(unique) != len(answered) {
		t.Fatalf("%d authenticators, %d accepted", len(unique), len(answered))
	}
	again := startReplayChild(t, path)
	fresh := rounds * count
	go again.present(append(unique, fresh))
	if got := again.accepted(t, count); len(got) != 1 || got[0] != fresh {
		t.Fatalf("after a restart accepted %v, want only %d", got, fresh)
	}
	if err := again.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &again.say)
	}
	t.Logf("%d answered, none accepted again", len(unique))
}

func shuffled(numbers []int) []int {
	s := slices.Clone(numbers)
	rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
	return s
}
