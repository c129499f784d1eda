package lease

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// checkMount refuses a directory on NFS whose locks end at this machine.
func checkMount(path string, st *unix.Stat_t) error {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil // where that is not known, nobody is kept from mail for it
	}
	defer mounts.Close()
	if localLocks(mounts, fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))) {
		return fmt.Errorf("%s: NFS is mounted here so that locks hold on this machine only (nolock or local_lock)", path)
	}
	return nil
}

// localLocks finds a device, MAJOR:MINOR, in a list of mounts (proc(5)), and
// reports whether that is NFS which keeps the locks of fcntl(2) to itself
// (nfs(5)):
//
//	36 35 0:50 / /net rw,noatime master:1 - nfs4 server:/export rw,vers=4.2,local_lock=none
func localLocks(mounts io.Reader, device string) bool {
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if len(where) < 3 || where[2] != device || len(what) < 3 || !strings.HasPrefix(what[0], "nfs") {
			continue
		}
		options := strings.Split(what[2], ",")
		for _, alone := range []string{"nolock", "local_lock=all", "local_lock=posix"} {
			if slices.Contains(options, alone) {
				return true
			}
		}
	}
	return false
}
