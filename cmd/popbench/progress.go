package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"kpopd/cmd/popbench/load"
)

// progressBar returns who shows how far a run is, and who wipes that away. They
// do nothing where w is no terminal.
func progressBar(w io.Writer, quiet bool) (show func(load.Progress), wipe func()) {
	f, ok := w.(*os.File)
	if ok {
		_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		ok = err == nil
	}
	if quiet || !ok {
		return nil, func() {}
	}
	return func(p load.Progress) { fmt.Fprintf(w, "\r%s\x1b[K", bar(p)) }, func() { fmt.Fprint(w, "\r\x1b[K") }
}

// bar is a line of less than 80 columns.
func bar(p load.Progress) string {
	const cells = 24
	full := min(cells, max(0, int(p.Done*cells)))
	line := fmt.Sprintf("[%s%s] %3.0f %%  %d operations  %.0f /s", strings.Repeat("#", full), strings.Repeat(".", cells-full), 100*p.Done, p.Operations, p.Rate)
	if p.Errors > 0 {
		line += fmt.Sprintf("  %d errors", p.Errors)
	}
	return line
}
