package lease_test

import (
	"strings"
	"testing"

	"kpopd/maildrop/lease"
)

func TestLocalLocks(t *testing.T) {
	const mounts = `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,local_lock=all
36 35 0:50 / /net/good rw,noatime master:1 - nfs4 server:/a rw,vers=4.2,local_lock=none,addr=192.0.2.1
37 35 0:51 / /net/flock rw shared:3 - nfs server:/b rw,vers=3,local_lock=flock
38 35 0:52 / /net/posix rw - nfs server:/c rw,vers=3,local_lock=posix
39 35 0:53 / /net/all rw - nfs4 server:/d rw,local_lock=all
40 35 0:54 / /net/nolock rw - nfs server:/e rw,vers=3,nolock,local_lock=all
short
`
	for device, want := range map[string]bool{
		"8:1": false, "0:50": false, "0:51": false, "0:52": true, "0:53": true, "0:54": true, "0:99": false,
	} {
		if got := lease.LocalLocks(strings.NewReader(mounts), device); got != want {
			t.Errorf("%s: %v, want %v", device, got, want)
		}
	}
}
