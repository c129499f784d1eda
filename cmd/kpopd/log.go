package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// A logger is the process's log. A reload follows its file and level; the
// format is the first configuration's as long as the process lives.
type logger struct {
	*slog.Logger
	level  slog.LevelVar
	target logTarget
	format string
}

// logSettings are what the configuration says of the log.
type logSettings struct {
	level slog.Level
	file  string // "": standard error
}

func newLogger(stderr io.Writer) *logger {
	l := &logger{target: logTarget{w: stderr}}
	l.setFormat("text")
	return l
}

func (l *logger) setFormat(format string) {
	options := &slog.HandlerOptions{Level: &l.level}
	if format == "json" {
		l.Logger = slog.New(slog.NewJSONHandler(&l.target, options))
		return
	}
	l.Logger = slog.New(slog.NewTextHandler(&l.target, options))
}

// begin takes the format of the first configuration, before anybody has been
// given the logger.
func (l *logger) begin(format string) {
	switch l.format {
	case "":
		l.format = format
		l.setFormat(format)
	case format:
	default:
		l.Warn("a new log format takes effect at the next start", "format", format)
	}
}

// prepare opens the log of a new configuration, and returns what moves the log
// there. The same name is opened anew: the old file may have been rotated away.
func (l *logger) prepare(set logSettings, stderr io.Writer) (commit func(), err error) {
	var file *os.File
	w := stderr
	if set.file != "" {
		if file, err = os.OpenFile(set.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		w = file
	}
	return func() {
		l.target.move(w, file)
		l.level.Set(set.level)
	}, nil
}

// flush writes the lines that wait.
func (l *logger) flush() { l.target.flush() }
