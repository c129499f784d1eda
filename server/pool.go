package server

import (
	"sync"
)

// Buffers are borrowed while they are in use, so that an idle connection holds
// none.
var (
	inputs  = sync.Pool{New: func() any { return new([inputSize]byte) }}
	buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}
	chunks  = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}
)

const (
	chunkSize = 64 << 10
	keepMax   = 2 * flushAt // a buffer that grew beyond this is not kept
)

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) > keepMax {
		return
	}
	*b = (*b)[:0]
	buffers.Put(b)
}
