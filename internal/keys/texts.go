package keys

import (
	"encoding/binary"
	"math/bits"
	"reflect"
	"unsafe"
)

// The texts of an Identity, in their order.
const (
	idText = iota
	prefixText
	ownerText
	nameText
	textCount
)

// The texts stand behind the Identity, in one block of memory with it. Of a
// million, that saves the pointers to them, and it keeps the identities apart
// from what the cache and the store throw away: blocks of one size lie together,
// and those between them that are free again count as much as those that aren't.
//
// Where a text is longer than an Identity can say, the first length is long,
// and the true ones stand before the texts.
const (
	long     = 1<<16 - 1
	longHead = textCount * 4
)

func newWithTexts(texts [textCount]string) *Identity {
	size, isLong := 0, false
	for _, text := range texts {
		size += len(text)
		isLong = isLong || len(text) >= long
	}
	if size == 0 {
		return &Identity{} // nothing is behind it, and nothing may point there
	}
	if isLong {
		i := withRoom(longHead + size)
		i.lengths[0] = long
		behind := unsafe.Slice((*byte)(i.behind(0)), longHead+size)
		at := longHead
		for which, text := range texts {
			binary.LittleEndian.PutUint32(behind[4*which:], uint32(len(text))) //nolint:gosec // G115: no text has 4 GB
			at += copy(behind[at:], text)
		}
		return i
	}
	i := withRoom(size)
	behind := unsafe.Slice((*byte)(i.behind(0)), size)
	at := 0
	for which, text := range texts {
		i.lengths[which] = uint16(len(text)) //nolint:gosec // G115: it is not long
		at += copy(behind[at:], text)
	}
	return i
}

// text returns one of the texts, which it does not copy: nothing is written
// there once an Identity is made.
func (i *Identity) text(which int) string {
	if i.lengths[0] == long {
		return i.longText(which)
	}
	at := 0
	for _, length := range i.lengths[:which] {
		at += int(length)
	}
	size := int(i.lengths[which])
	if size == 0 { // nothing need be behind it
		return ""
	}
	return unsafe.String((*byte)(i.behind(at)), size)
}

func (i *Identity) longText(which int) string {
	head := unsafe.Slice((*byte)(i.behind(0)), longHead)
	length := func(which int) int { return int(binary.LittleEndian.Uint32(head[4*which:])) }
	at := longHead
	for before := range which {
		at += length(before)
	}
	if length(which) == 0 {
		return ""
	}
	return unsafe.String((*byte)(i.behind(at)), length(which))
}

// behind points to a byte of what stands behind an Identity.
func (i *Identity) behind(at int) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(i), int(unsafe.Sizeof(*i))+at)
}

// withRoom returns an Identity with room for size bytes behind it. Its block is
// as large as some size of Go's allocator, where that matters.
func withRoom(size int) *Identity {
	switch {
	case size <= 32:
		return &new(struct {
			Identity
			_ [32]byte
		}).Identity
	case size <= 48:
		return &new(struct {
			Identity
			_ [48]byte
		}).Identity
	case size <= 64:
		return &new(struct {
			Identity
			_ [64]byte
		}).Identity
	case size <= 80:
		return &new(struct {
			Identity
			_ [80]byte
		}).Identity
	case size <= 96:
		return &new(struct {
			Identity
			_ [96]byte
		}).Identity
	case size <= 112:
		return &new(struct {
			Identity
			_ [112]byte
		}).Identity
	case size <= 128:
		return &new(struct {
			Identity
			_ [128]byte
		}).Identity
	case size <= 160:
		return &new(struct {
			Identity
			_ [160]byte
		}).Identity
	case size <= 240:
		return &new(struct {
			Identity
			_ [240]byte
		}).Identity
	}
	// Few have as long texts. Types are kept for ever: there is one for each
	// power of two.
	block := reflect.StructOf([]reflect.StructField{
		{Name: "Identity", Type: reflect.TypeFor[Identity]()},
		{Name: "Texts", Type: reflect.ArrayOf(1<<bits.Len(uint(size-1)), reflect.TypeFor[byte]())},
	})
	return (*Identity)(reflect.New(block).UnsafePointer())
}
