package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// meanwhile is how long the sessions of a crowd are held, so that all of them are
// there at the same time.
const meanwhile = 15 * time.Second

// crowd shares the sessions of an idle run among the processes of a server, with a
// popbench for each, for neither side has files for all. Its memory is the mean.
func (s *site) crowd(one run, first *instance, args []string) (got result) {
	crew := append([]*instance{first}, first.crew...)
	each := s.users / len(crew)
	results, errs := make([]result, len(crew)), make([]error, len(crew))
	done := make(chan struct{})
	var all sync.WaitGroup
	for k, i := range crew {
		share := append(args[:len(args):len(args)], "-sessions", fmt.Sprint(each), "-users", fmt.Sprint(each), "-first-user", fmt.Sprint(k*each), "-hold", meanwhile.String())
		all.Go(func() { results[k], errs[k] = s.call(one, i, share) })
	}
	go func() { all.Wait(); close(done) }()
	most := mostEnds(done)
	for _, err := range errs {
		s.must(err)
	}
	if most < 2*s.users {
		s.Fatalf("%s: %d sessions were never there together, for TCP had no more than %d ends", one.label, s.users, most)
	}
	return mean(s, results)
}

// mostEnds returns how many ends of TCP connections this machine had, at the most,
// until something is done.
func mostEnds(done <-chan struct{}) (most int) {
	tick := time.NewTicker(meanwhile / 20)
	defer tick.Stop()
	for {
		text, _ := os.ReadFile("/proc/net/sockstat")
		_, rest, _ := strings.Cut(string(text), "\nTCP: inuse ")
		first, _, _ := strings.Cut(rest, " ")
		ends, _ := strconv.Atoi(first) // 0, which is too few, where there is none
		most = max(most, ends)
		select {
		case <-done:
			return most
		case <-tick.C:
		}
	}
}

// mean is the first of results with the memory of all, who have as many sessions.
func mean(s *site, all []result) result {
	total := 0.0
	for _, one := range all {
		total += one.Server.Memory
	}
	got := all[0]
	got.Server.Memory = total / float64(len(all))
	var line struct {
		Label    string `json:"label"`
		Sessions int    `json:"operations"`
		Server   struct {
			Processes int     `json:"processes"`
			Memory    float64 `json:"pss_kib_per_session"`
		} `json:"server"`
	}
	line.Label, line.Sessions, line.Server.Processes, line.Server.Memory = got.Run, s.users, len(all), got.Server.Memory
	text, err := json.Marshal(line)
	s.must(err)
	got.line = text
	return got
}
