package main

import "syscall"

// perSession is how many files a session takes that waits: kpopd's are its
// connection and its lock.
const perSession = 2

// sessions is how many sessions a server is to have at a time, or less where this
// machine does not let a process have so many files open.
func (p pace) sessions(full int) int {
	const others = 400
	return min(p.n(full), (mostFiles()-others)/perSession)
}

// mostFiles lets us, and the servers that are started, have as many files open as
// may be, and says how many.
func mostFiles() int {
	many := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &many) == nil { // root may, mostly
		return int(many.Cur)
	}
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &many) != nil {
		return 1024 // which everybody has
	}
	many.Cur = many.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &many) // what was allowed before
	return int(many.Cur)
}
