package main

import (
	"fmt"
	"os"
	"path/filepath"

	"kpopd/config"
	"kpopd/server/audit"
)

// audit looks at where the record shall go, but makes nothing: the file is
// opened when everything else is known to be right.
func (b *builder) audit() {
	a := b.file.Audit
	if a == nil {
		return
	}
	info, err := os.Lstat(a.File)
	switch {
	case err == nil:
		err = audit.CheckFile(a.File, info)
	case os.IsNotExist(err):
		err = isDirectory(filepath.Dir(a.File))
	}
	if err != nil {
		b.fail(a.At("file"), "The audit log cannot be kept: %v", err)
	}
}

func isDirectory(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", path)
	}
	return err
}

// moveAudit opens the record of a new configuration, before anybody is served
// by that, and returns what keeps it or goes back to the old one. The same name
// is opened anew: the old file may have been rotated away.
func (s *service) moveAudit(f *config.File) (keep func(bool), err error) {
	var file *os.File
	if f.Audit != nil {
		if file, err = audit.OpenFile(f.Audit.File); err != nil {
			return nil, f.Errorf(f.Audit.At("file"), "The audit log cannot be opened: %v", err)
		}
	}
	old := s.audit.Swap(file)
	return func(yes bool) {
		gone := old
		if !yes {
			gone = s.audit.Swap(old)
		}
		if gone != nil {
			gone.Close()
		}
	}, nil
}

// beginAudit makes what records, once there is a log to complain in.
func (s *service) beginAudit() {
	if s.audit != nil {
		return
	}
	s.server.Log, s.audit = s.log.Logger, audit.New(s.log.Logger)
	s.server.Recorder = s.audit
}

func (s *service) closeAudit() {
	if s.audit == nil {
		return
	}
	if err := s.audit.Close(); err != nil {
		s.log.Error("closing the audit log", "err", err)
	}
}
