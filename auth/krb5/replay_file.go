package krb5

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/auth"
)

// ReplayOptions are the settings of a [FileReplay].
type ReplayOptions struct {
	// Max is how many entries a new file has room for. It may hold up to half
	// as many again. An existing file keeps its size. 0: [DefaultReplayMax].
	Max int
	// Skew is the acceptor's clock skew, which says for how long an
	// authenticator can be acceptable. 0: five minutes.
	Skew time.Duration
	// Wait bounds the wait for the file's lock, beside the caller's context.
	// 0: five seconds.
	Wait time.Duration
}

// A FileReplay is a [ReplayCache] in a file that all processes of one machine
// share, and that outlives them.
//
// An entry is in the kernel's hands before Seen returns, so killing a process
// at any moment loses nothing and leaves no lock behind. Entries are not
// synced one by one: a disk would make every login wait for it. What a crash
// of the whole machine may lose is made up for at the first start after it,
// which the boot id tells from a restart: the cache then fails until every
// authenticator that was accepted before is too old, twice the skew. After
// [FileReplay.Close] and an orderly reboot there is no such pause.
//
// Entries are overwritten only after they expired, the earliest to expire
// first, and each bucket notes the latest expiry that it forgot. If the clock
// was set back to before that note, the bucket fails until it is past it
// again; so does one with a damaged record for as long as the lost entry could
// have counted. While it is in use the file must not be removed or replaced:
// the cache fails when it was. To start over, stop all servers first.
type FileReplay struct {
	path   string
	wait   time.Duration
	header replayHeader

	sem    chan struct{}    // holds one value while a goroutine uses file
	file   *os.File         // nil once closed
	bucket [bucketSize]byte // the one that is read, while sem is held
	id     fs.FileInfo
}

var _ ReplayCache = (*FileReplay)(nil)

// OpenReplay opens the cache at path and makes it when there is none. The file
// is a regular one with mode 0600 and belongs to the caller's user; anything
// else, a symbolic link too, and a file that is no cache or is damaged, is an
// error, and nothing is changed.
func OpenReplay(path string, o ReplayOptions) (*FileReplay, error) {
	r, err := openReplay(path, o)
	if err != nil {
		return nil, fmt.Errorf("replay cache %s: %w", path, err)
	}
	return r, nil
}

func openReplay(path string, o ReplayOptions) (*FileReplay, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	file, err := openOrCreate(path, o.Max, boot)
	if err != nil {
		return nil, err
	}
	r := &FileReplay{path: path, wait: o.Wait, sem: make(chan struct{}, 1), file: file}
	if r.wait <= 0 {
		r.wait = 5 * time.Second
	}
	skew := o.Skew
	if skew <= 0 {
		skew = 5 * time.Minute
	}
	if err := r.start(boot, skew); err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

// start checks the file and takes it over for this boot.
func (r *FileReplay) start(boot [16]byte, skew time.Duration) error {
	var err error
	if r.id, err = checkReplayFile(r.file); err != nil {
		return err
	}
	if err := r.lock(context.Background()); err != nil {
		return err
	}
	defer r.unlock()
	var b [headerSize]byte
	if _, err := r.file.ReadAt(b[:], 0); err != nil {
		return errReplayHeader
	}
	if r.header, err = parseReplayHeader(b[:]); err != nil {
		return err
	}
	if r.id.Size() != r.header.size() {
		return errReplayHeader
	}
	s, err := r.state()
	if err != nil || s.boot == boot {
		return err
	}
	if !s.clean {
		s.closed = time.Now().Add(2*skew + time.Second).UnixNano()
	}
	s.boot = boot
	return r.setState(s)
}

// Seen implements [ReplayCache]. An entry counts as long as it is there, even
// when it expired.
func (r *FileReplay) Seen(ctx context.Context, authenticator []byte, until time.Time) (bool, error) {
	if err := r.lock(ctx); err != nil {
		return false, err
	}
	defer r.unlock()
	seen, err := r.seen(tagOf(authenticator), time.Now().UnixNano(), until.UnixNano())
	if err != nil && !errors.Is(err, auth.ErrUnavailable) {
		err = refuseReplay(reasonReplayIO, "%s: %w", r.path, err)
	}
	return seen, err
}

// seen is Seen under the lock.
func (r *FileReplay) seen(tag replayTag, now, until int64) (bool, error) {
	s, err := r.check()
	if err != nil {
		return false, err
	}
	places, floor := r.header.places(tag), s.closed
	var views [2]bucketView
	for i, n := range places {
		if views[i], err = r.view(n, tag, now); err != nil {
			return false, err
		}
		if err := r.repair(n, &views[i], quarantine(now, until)); err != nil {
			return false, err
		}
		floor = max(floor, views[i].floor)
	}
	if views[0].seen || views[1].seen {
		return true, nil
	}
	if now < floor {
		return false, refuseClosed(floor)
	}
	roomy := 0
	if views[1].expired > views[0].expired {
		roomy = 1
	}
	return false, r.insert(places[roomy], views[roomy], s, replayRecord{tag, until})
}

// check reads the state and makes sure that the file is still the one that
// other processes find.
func (r *FileReplay) check() (replayState, error) {
	at, err := os.Lstat(r.path)
	if err != nil || !os.SameFile(at, r.id) {
		return replayState{}, refuseReplay(reasonReplayReplaced, "%s was removed or replaced, restart", r.path)
	}
	return r.state()
}

func (r *FileReplay) view(bucket uint32, tag replayTag, now int64) (bucketView, error) {
	if _, err := r.file.ReadAt(r.bucket[:], recordOffset(bucket, 0)); err != nil {
		return bucketView{}, err
	}
	return viewBucket(r.bucket[:], tag, now), nil
}

// insert puts an entry into a bucket. What the bucket forgets by it is noted
// before it is forgotten.
func (r *FileReplay) insert(bucket uint32, v bucketView, s replayState, entry replayRecord) error {
	if v.expired == 0 {
		return refuseReplay(reasonReplayFull, "%d buckets", r.header.buckets)
	}
	if s.clean {
		s.clean = false
		if err := r.setState(s); err != nil {
			return err
		}
	}
	if v.oldest.time > v.floor {
		if err := r.write(bucket, 0, replayRecord{time: v.oldest.time}); err != nil {
			return err
		}
	}
	return r.write(bucket, v.slot, entry)
}

// repair frees the damaged records of a bucket, if there are any, and closes
// it until floor.
func (r *FileReplay) repair(bucket uint32, v *bucketView, floor int64) error {
	if len(v.damaged) == 0 {
		return nil
	}
	v.floor = max(v.floor, floor)
	if err := r.write(bucket, 0, replayRecord{time: v.floor}); err != nil {
		return err
	}
	for _, slot := range v.damaged {
		if slot == 0 {
			continue // just written
		}
		if _, err := r.file.WriteAt(make([]byte, recordSize), recordOffset(bucket, slot)); err != nil {
			return err
		}
	}
	return nil
}

func (r *FileReplay) write(bucket uint32, slot int, rec replayRecord) error {
	_, err := r.file.WriteAt(rec.append(nil), recordOffset(bucket, slot))
	return err
}

func recordOffset(bucket uint32, slot int) int64 {
	return bucketOffset + int64(bucket)*bucketSize + int64(slot)*recordSize
}

func (r *FileReplay) state() (replayState, error) {
	var b [recordSize]byte
	if _, err := r.file.ReadAt(b[:], stateOffset); err != nil {
		return replayState{}, err
	}
	return parseReplayState(b[:])
}

func (r *FileReplay) setState(s replayState) error {
	if _, err := r.file.WriteAt(s.append(nil), stateOffset); err != nil {
		return err
	}
	return unix.Fdatasync(int(r.file.Fd()))
}

// Close writes everything to disk and closes the file. The cache fails from
// then on. Other processes that use it are not disturbed.
func (r *FileReplay) Close() error {
	if err := r.lock(context.Background()); err != nil {
		return err
	}
	defer func() { <-r.sem }()
	err := errors.Join(r.settle(), r.file.Close()) // closing unlocks
	r.file = nil
	return err
}

// settle marks the file as clean, after all of it is on disk.
func (r *FileReplay) settle() error {
	s, err := r.state()
	if err != nil || s.clean {
		return err
	}
	if err := unix.Fdatasync(int(r.file.Fd())); err != nil {
		return err
	}
	s.clean = true
	return r.setState(s)
}
