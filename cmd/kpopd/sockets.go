package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kpopd/config"
	"kpopd/server"
)

// A listener is one listener of the configuration, ready to be served.
type listener struct {
	network, address string
	endpoint         *server.Endpoint
	at               config.Range // of its address
	mode             fs.FileMode  // of a Unix socket; 0: as the umask leaves it
	group            int          // of a Unix socket; -1: the server's
}

// sockets are the open listeners. A reload keeps those whose address stays.
type sockets struct {
	ctx    context.Context // of the process
	server *server.Server
	failed chan error // a listener that ended unasked
	open   map[string]*socket
	wait   sync.WaitGroup
}

type socket struct {
	net.Listener
	endpoint atomic.Pointer[server.Endpoint]
	closing  atomic.Bool
}

func newSockets(ctx context.Context, s *server.Server) *sockets {
	return &sockets{ctx: ctx, server: s, failed: make(chan error, 1), open: map[string]*socket{}}
}

// apply opens what is new, gives every listener its endpoint and closes what
// is gone. If one cannot be opened, all stays as it was.
func (s *sockets) apply(f *config.File, listeners []listener) config.Diagnostics {
	fresh, diags := s.listen(f, listeners)
	if diags.HasErrors() {
		for _, f := range fresh {
			f.Close()
		}
		return diags
	}
	wanted := map[string]bool{}
	for _, l := range listeners {
		wanted[l.key()] = true
		if f := fresh[l.key()]; f != nil {
			s.open[l.key()] = f
			f.endpoint.Store(l.endpoint)
			s.wait.Go(func() { s.serve(f) })
			continue
		}
		s.open[l.key()].endpoint.Store(l.endpoint)
	}
	for key, o := range s.open {
		if !wanted[key] {
			o.end()
			delete(s.open, key)
		}
	}
	return diags
}

// key tells listeners apart. Any number of them may ask for any free port.
func (l listener) key() string {
	if strings.HasSuffix(l.address, ":0") {
		return l.network + " " + l.address + " " + l.endpoint.Name
	}
	return l.network + " " + l.address
}

// listen opens the listeners that are not open yet.
func (s *sockets) listen(f *config.File, listeners []listener) (map[string]*socket, config.Diagnostics) {
	fresh := map[string]*socket{}
	var errs []error
	for _, l := range listeners {
		if fresh[l.key()] != nil {
			continue
		}
		if s.open[l.key()] != nil {
			if err := l.permit(); err != nil {
				errs = append(errs, f.Errorf(l.at, "Listener %s: %v", l.endpoint.Name, err))
			}
			continue
		}
		nl, err := l.open(s.ctx)
		if err != nil {
			errs = append(errs, f.Errorf(l.at, "Listener %s cannot be opened: %s", l.endpoint.Name, listenHint(err, len(s.open) > 0)))
			continue
		}
		fresh[l.key()] = &socket{Listener: nl}
	}
	return fresh, config.DiagnosticsOf(errors.Join(errs...))
}

// listen opens the listener. The socket of a server that was killed is still
// in the file system; nobody answers there, and it makes way.
func (l listener) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	// No client of ours speaks Multipath TCP, which confinement by port does
	// not see.
	lc.SetMultipathTCP(false)
	if l.network != "unix" {
		lc.KeepAlive, lc.Control = -1, probeSilent
	}
	nl, err := lc.Listen(ctx, l.network, l.address)
	if l.network != "unix" || !errors.Is(err, syscall.EADDRINUSE) || !abandoned(ctx, l.address) {
		return nl, err
	}
	if err := os.Remove(l.address); err != nil {
		return nil, err
	}
	return lc.Listen(ctx, l.network, l.address)
}

// Who is silent for so long is asked whether he is still there, up to nine
// times. Without an answer the connection ends, and the maildrop is free again.
const probeAfter = 15 * time.Second

// probeSilent sets the keep-alives of a listener (tcp(7)), which the connections
// that it accepts have from it: package net would set them one by one.
func probeSilent(_, _ string, socket syscall.RawConn) error {
	var err error
	set := func(fd uintptr, level, option, value int) {
		if e := syscall.SetsockoptInt(int(fd), level, option, value); err == nil {
			err = os.NewSyscallError("setsockopt", e)
		}
	}
	control := socket.Control(func(fd uintptr) {
		set(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
		set(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, int(probeAfter/time.Second))
		set(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, int(probeAfter/time.Second))
		set(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9)
	})
	return errors.Join(control, err)
}

// permit says who may connect to a Unix socket. Before, whom the umask lets,
// which is nobody else as a rule.
func (l listener) permit() error {
	if l.network != "unix" {
		return nil
	}
	var errs []error
	if l.group >= 0 {
		err := os.Lchown(l.address, -1, l.group)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("the server's user must be a member of socket_group: %w", err)
		}
		errs = append(errs, err)
	}
	if l.mode != 0 {
		errs = append(errs, os.Chmod(l.address, l.mode))
	}
	return errors.Join(errs...)
}

// open opens the listener for those who may connect.
func (l listener) open(ctx context.Context) (net.Listener, error) {
	nl, err := l.listen(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.permit(); err != nil {
		nl.Close()
		return nil, err
	}
	return nl, nil
}

// abandoned reports whether path is a Unix socket that nobody listens on.
func abandoned(ctx context.Context, path string) bool {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// listenHint adds to err what can be done about it. A reload opens what is new
// before it closes what is gone, so that it cannot fail half-way.
func listenHint(err error, reload bool) string {
	op, _ := errors.AsType[*net.OpError](err)
	switch text := err.Error(); {
	case errors.Is(err, syscall.EACCES) && op != nil && op.Net == "unix":
		return text + "; the server's user must be allowed to make files in its directory"
	case errors.Is(err, syscall.EACCES):
		return text + "; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRINUSE) && reload:
		return text + "; a port that stays cannot change its address but by a restart"
	default:
		return text
	}
}

func (s *sockets) serve(o *socket) {
	err := s.server.Serve(s.ctx, o.Listener, o.endpoint.Load)
	if errors.Is(err, server.ErrServerClosed) || o.closing.Load() {
		return
	}
	select {
	case s.failed <- fmt.Errorf("listener %s: %w", o.endpoint.Load().Name, err):
	default:
	}
}

func (o *socket) end() {
	o.closing.Store(true)
	o.Close()
}

// close closes all and waits until nothing accepts any more.
func (s *sockets) close() {
	for _, o := range s.open {
		o.end()
	}
	s.wait.Wait()
}

// addresses are where the open listeners really are, by name.
func (s *sockets) addresses() map[string]string {
	m := map[string]string{}
	for _, o := range s.open {
		m[o.endpoint.Load().Name] = o.Addr().String()
	}
	return m
}
