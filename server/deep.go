package server

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
)

// A deepCall is a function on its way to another goroutine and back.
type deepCall struct {
	run   func() error
	done  chan struct{}
	err   error
	panic *relayedPanic // nil: it returned
}

// A relayedPanic is one on another goroutine, with the stack of that.
type relayedPanic struct {
	value any
	stack []byte
}

// errGoexit ends a connection whose deep call did not return.
var errGoexit = errors.New("server: the goroutine ended")

// Deep calls f on another goroutine and returns what it does, panics included.
// Meanwhile the connection is that goroutine's.
//
// It is for what happens once on a connection and calls deeply: handshakes,
// proofs, opening what there is to serve. A stack grows to the deepest call and
// is hardly ever given back, so a connection that waits would hold several times
// what it needs to wait.
func (c *Conn) Deep(f func() error) error {
	call := &deepCall{run: f, done: make(chan struct{}), err: errGoexit}
	c.srv.deep(call)
	<-call.done
	if call.panic != nil {
		panic(call.panic)
	}
	return call.err
}

func (call *deepCall) do() {
	defer close(call.done)
	defer func() {
		if r := recover(); r != nil {
			call.panic = relayed(r)
		}
	}()
	call.err = call.run()
}

// relayed makes a panic one that another goroutine can pass on.
func relayed(r any) *relayedPanic {
	if p, ok := r.(*relayedPanic); ok {
		return p
	}
	return &relayedPanic{r, debug.Stack()}
}

func (p *relayedPanic) String() string { return fmt.Sprint(p.value) }

// workers are goroutines that do deep calls, one after the other, on stacks
// that have grown. They exist while a Serve runs.
type workers struct {
	calls chan *deepCall
	stop  chan struct{} // closed at the end
	idle  atomic.Int32
}

func newWorkers() *workers {
	return &workers{calls: make(chan *deepCall), stop: make(chan struct{})}
}

// deep has somebody do call.
func (s *Server) deep(call *deepCall) {
	w := s.workers.Load()
	if w == nil {
		s.running.Go(call.do)
		return
	}
	select {
	case w.calls <- call:
	default:
		s.running.Go(func() { w.work(call) })
	}
}

// work does call, and then others while not too many are waiting for some.
func (w *workers) work(call *deepCall) {
	for most := int32(2 * runtime.GOMAXPROCS(0)); ; {
		call.do()
		if w.idle.Add(1) > most {
			w.idle.Add(-1)
			return
		}
		select {
		case call = <-w.calls:
			w.idle.Add(-1)
		case <-w.stop:
			return
		}
	}
}
