package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/config"
	"kpopd/server"
	"kpopd/server/audit"
)

func serveCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve mail",
		Description: "kpopd serve -config /etc/kpopd/kpopd.hcl\n" +
			"kpopd serve -dev\n\n" +
			"SIGHUP reads the configuration again, and keeps the old one if the new one is wrong.\n" +
			"SIGTERM lets sessions with a maildrop finish for the time of -drain.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.BoolFlag{Name: "dev", Usage: "serve three sample messages on loopback, with a realm of its own"},
			&cli.StringFlag{Name: "dev-address", Value: "127.0.0.1", Usage: "with -dev, listen on this loopback `ADDRESS`"},
			&cli.StringFlag{Name: "dev-ports", Value: "1110,1995,1109", Usage: "with -dev, the `PORTS` of POP3, POP3S and KPOP; 0: any"},
			&cli.StringFlag{Name: "dev-dir", Usage: "with -dev, keep everything in `DIR` instead of a temporary directory"},
			&cli.DurationFlag{Name: "drain", Value: 30 * time.Second, Usage: "at the end, wait so long for sessions to finish"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArguments(cmd); err != nil {
				return err
			}
			s := service{stderr: stderr, drain: cmd.Duration("drain"), path: cmd.String("config")}
			switch {
			case cmd.Bool("dev") && s.path != "":
				return usagef("serve: -dev brings its own configuration: leave -config out")
			case cmd.Bool("dev"):
				return serveDev(ctx, &s, devOptions{
					address: cmd.String("dev-address"), ports: cmd.String("dev-ports"), dir: cmd.String("dev-dir"), out: stdout})
			case s.path == "":
				return usagef("serve: -config FILE is needed, or -dev to try it")
			}
			return s.run(ctx)
		},
	}
}

// A service is a running server: what was built from the configuration, and
// the sockets it has.
type service struct {
	path   string // of the configuration
	stderr io.Writer
	drain  time.Duration
	ready  func(*sockets) // called once, when all listeners are open; may be nil

	log     *logger
	audit   *audit.Log // from the first configuration on
	server  server.Server
	sockets *sockets
	parts   *parts
	sweeps  sweepTask
}

// run serves until a signal ends it.
func (s *service) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hup, stop := notify(syscall.SIGHUP), notify(syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(hup)
	defer signal.Stop(stop)

	s.log = newLogger(s.stderr)
	defer s.log.flush()
	defer s.closeAudit()
	defer s.sweeps.stop()
	var memory sync.WaitGroup
	memory.Go(func() { keepMemory(ctx) })
	defer memory.Wait()
	defer cancel()
	s.sockets = newSockets(ctx, &s.server)
	if err := s.start(); err != nil {
		s.sockets.close()
		return err
	}
	for {
		select {
		case <-hup:
			s.reload()
		case err := <-s.sockets.failed:
			s.shutdown(stop)
			return err
		case sig := <-stop:
			s.log.Info("stopping", "signal", sig.String(), "drain", s.drain.String())
			return s.shutdown(stop)
		}
	}
}

func notify(sig ...os.Signal) chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, sig...)
	return c
}

// start reads the configuration for the first time: whatever is wrong ends the
// program, with diagnostics on standard error.
func (s *service) start() error {
	diags := s.apply()
	if diags.HasErrors() {
		writeDiagnostics(s.stderr, diags)
		return errReported
	}
	s.logWarnings(diags)
	s.log.Info("serving", "version", version, "listeners", s.sockets.addresses())
	if s.ready != nil {
		s.ready(s.sockets)
	}
	return nil
}

// reload reads the configuration again. If anything is wrong, all stays as it
// was, and the log says why.
func (s *service) reload() {
	diags := s.apply()
	s.logWarnings(diags)
	if diags.HasErrors() {
		s.log.Error("the new configuration is wrong, the old one stays", "config", s.path)
		return
	}
	s.log.Info("configuration reloaded", "config", s.path, "listeners", s.sockets.addresses())
}

// apply loads the configuration, builds its parts and puts them in the place
// of the old ones: all of them, or on an error none.
func (s *service) apply() config.Diagnostics {
	file, diags := config.Load(s.path)
	if diags.HasErrors() {
		return diags
	}
	s.log.begin(file.Log.Format)
	s.beginAudit()
	next, more := build(file, s.parts, s.log.Logger)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return diags
	}
	moveLog, err := s.log.prepare(logSettings{level: file.Log.Level, file: file.Log.File}, s.stderr)
	if err != nil {
		err = file.Errorf(file.Log.At("file"), "The log cannot be opened: %v", err)
		return append(diags, config.DiagnosticsOf(err)...)
	}
	keep, err := s.moveAudit(file)
	if err != nil {
		return append(diags, config.DiagnosticsOf(err)...)
	}
	diags = append(diags, s.sockets.apply(file, next.listeners)...)
	keep(!diags.HasErrors())
	if diags.HasErrors() {
		return diags
	}
	moveLog()
	next.commit()
	s.server.SetLimits(next.limits)
	if s.parts != nil {
		s.parts.part()
	}
	s.parts = next
	s.sweeps.start(file, next, s.audit, s.log.Logger)
	return diags
}

func (s *service) logWarnings(diags config.Diagnostics) {
	for _, p := range diags {
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		s.log.Log(context.Background(), level, p.Error())
	}
}

// shutdown lets sessions finish until the drain is over or a second signal
// comes.
func (s *service) shutdown(stop <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	s.sweeps.stop()
	done := make(chan struct{})
	go func() {
		select {
		case <-stop:
			cancel()
		case <-done:
		}
	}()
	err := s.server.Shutdown(ctx)
	close(done)
	s.sockets.close()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("stopping: %w", err)
	}
	s.log.Info("stopped", "all_finished", err == nil)
	return s.parts.close()
}
