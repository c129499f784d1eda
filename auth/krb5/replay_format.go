package krb5

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// The file of a [FileReplay] is a table of fixed size. All numbers are little
// endian, all times nanoseconds of Unix time.
//
//	0      header: magic, salt, number of buckets, checksum
//	512    state: boot id, closed-until, flags, checksum
//	4096   buckets of 1024 octets: 32 records of 32 octets
//
// A record is a tag, a time, four zero octets and a checksum; all zero, it is
// free. The first one of each bucket has a zero tag and holds the bucket's
// floor. Each record, and the state, lies in one disk sector and is written by
// one call, which a signal does not interrupt, so that it is there as a whole
// or not at all.
const (
	replayMagic  = "kpopd replay 1\r\n"
	stateOffset  = 512
	bucketOffset = 4096
	headerSize   = 64
	recordSize   = 32
	bucketSize   = 1024
	bucketSlots  = bucketSize/recordSize - 1
	// bucketLoad is how many entries a bucket is planned for. Each tag has the
	// choice of two buckets, which keeps all of them near the mean.
	bucketLoad = 22
)

var (
	errReplayHeader = errors.New("not a replay cache, or damaged")
	castagnoli      = crc32.MakeTable(crc32.Castagnoli)
)

// A replayHeader is the part of the file that never changes.
type replayHeader struct {
	salt    [16]byte // makes it unpredictable which entries share a bucket
	buckets uint32
}

func (h replayHeader) size() int64 { return bucketOffset + int64(h.buckets)*bucketSize }

func (h replayHeader) append(b []byte) []byte {
	start := len(b)
	b = append(b, replayMagic...)
	b = append(b, h.salt[:]...)
	b = binary.LittleEndian.AppendUint32(b, h.buckets)
	b = append(b, make([]byte, headerSize-4-(len(b)-start))...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseReplayHeader(b []byte) (h replayHeader, err error) {
	if len(b) != headerSize || string(b[:16]) != replayMagic || !summed(b) {
		return h, errReplayHeader
	}
	copy(h.salt[:], b[16:])
	h.buckets = binary.LittleEndian.Uint32(b[32:])
	if h.buckets == 0 {
		return h, errReplayHeader
	}
	return h, nil
}

// places returns the two buckets that may hold tag.
func (h replayHeader) places(tag replayTag) [2]uint32 {
	sum := sha256.Sum256(append(h.salt[:], tag[:]...))
	n := uint64(h.buckets)
	i := binary.LittleEndian.Uint64(sum[0:]) % n
	j := binary.LittleEndian.Uint64(sum[8:]) % n
	if i == j {
		j = (i + 1) % n
	}
	return [2]uint32{uint32(i), uint32(j)}
}

// A replayState is the part of the file that says whether the entries can be
// relied on.
type replayState struct {
	boot   [16]byte // the boot in which the file was last opened
	closed int64    // nobody is let in before this time
	clean  bool     // everything is on disk, nothing was added since
}

func (s replayState) append(b []byte) []byte {
	start := len(b)
	b = append(b, s.boot[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.closed))
	var flags uint32
	if s.clean {
		flags = 1
	}
	b = binary.LittleEndian.AppendUint32(b, flags)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseReplayState(b []byte) (s replayState, err error) {
	if len(b) != recordSize || !summed(b) {
		return s, errReplayHeader
	}
	copy(s.boot[:], b)
	s.closed = int64(binary.LittleEndian.Uint64(b[16:]))
	s.clean = binary.LittleEndian.Uint32(b[24:]) == 1
	return s, nil
}

// A replayRecord is an entry, or with a zero tag a bucket's floor.
type replayRecord struct {
	tag  replayTag
	time int64
}

func (r replayRecord) append(b []byte) []byte {
	start := len(b)
	b = append(b, r.tag[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.time))
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseReplayRecord returns the zero record for a free slot, and false for one
// that is damaged.
func parseReplayRecord(b []byte) (r replayRecord, ok bool) {
	if [recordSize]byte(b) == [recordSize]byte{} {
		return r, true
	}
	copy(r.tag[:], b)
	r.time = int64(binary.LittleEndian.Uint64(b[16:]))
	return r, summed(b)
}

// summed reports whether the last four octets are the checksum of the others.
func summed(b []byte) bool {
	n := len(b) - 4
	return crc32.Checksum(b[:n], castagnoli) == binary.LittleEndian.Uint32(b[n:])
}

// A bucketView is what one bucket says about one tag.
type bucketView struct {
	seen    bool
	floor   int64 // nothing is known about entries that expired before this
	expired int   // slots that may be overwritten, free ones included
	oldest  replayRecord
	slot    int   // where oldest lies, counted in records from the bucket's start
	damaged []int // records whose checksum is wrong
}

// viewBucket reads a bucket. b has bucketSize octets.
func viewBucket(b []byte, tag replayTag, now int64) bucketView {
	var v bucketView
	for i := range bucketSlots + 1 {
		r, ok := parseReplayRecord(b[i*recordSize : (i+1)*recordSize])
		switch {
		case !ok:
			v.damaged = append(v.damaged, i)
		case i == 0:
			v.floor = r.time
		default:
			v.add(i, r, tag, now)
		}
	}
	return v
}

func (v *bucketView) add(slot int, r replayRecord, tag replayTag, now int64) {
	if r.tag == tag && r.time != 0 {
		v.seen = true
	}
	if r.time < now {
		v.expired++
	}
	if v.slot == 0 || r.time < v.oldest.time {
		v.slot, v.oldest = slot, r
	}
}

// quarantine is how long a cache stays closed that lost entries at now, told
// from the expiry of an authenticator that is shown now. until is at least
// now+skew; nothing accepted before now stays acceptable beyond now+2*skew.
func quarantine(now, until int64) int64 {
	return now + 2*max(until-now, int64(time.Second))
}
