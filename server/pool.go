package server

import (
	"sync"
)

// Buffers are borrowed while they are in use, so that an idle connection holds
// none.
var (
	inputs  = sync.Pool{New: func() any { return new([inputSize]byte) }}
	buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}
	texts   = sync.Pool{New: func() any { b := make([]byte, 0, textSize); return &b }}
)

const (
	textSize = 256 << 10   // of a buffer for large texts
	keepMax  = 2 * flushAt // another buffer that grew beyond this is not kept
)

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	*b = (*b)[:0]
	switch {
	case cap(*b) == textSize:
		texts.Put(b)
	case cap(*b) <= keepMax:
		buffers.Put(b)
	}
}
