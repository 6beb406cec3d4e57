package sqlstore

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"sort"
)

// A part says of some thousand keys which of them have a term: a gram of their
// text, their owner, an API. It is written once and never changed, by one
// statement, where an index of the database would be changed in fifty places
// for each key: that was most of what an import took.
//
// A part may know a term of a key that the key has no more, and keys that are
// gone. What it finds are candidates: their rows say whether they are meant.

// maxPart bounds the keys of a part, and so the memory that making it takes.
const maxPart = 1 << 16

// buckets is into how many rows a part's terms are divided, by their hash.
// With more, a row is read in less time and more have to be written.
const (
	bucketBits = 12
	restBits   = 32 - bucketBits
)

func bucketOf(term uint32) int64 { return int64(term >> restBits) }

// entry is the terms of one key.
type entry struct {
	n     int64
	terms []uint32
}

// postings are the terms of a bucket, in order. Each has what of its hash the
// bucket does not say, the number of bytes that follow, and which keys have
// it, by their place in the part: the distances between these places, or,
// where that is shorter, one bit for each place.
type postings struct {
	bucket int64
	bytes  []byte
}

// newPart returns the keys of a part, which are in the order of their numbers,
// and its postings.
func newPart(entries []entry) (members []byte, rows []postings) {
	var places []uint32
	for bucket, pairs := range pairsOf(entries) {
		if len(pairs) == 0 {
			continue
		}
		slices.Sort(pairs)
		row := postings{bucket: int64(bucket)}
		for i := 0; i < len(pairs); {
			term := pairs[i] >> 32
			places = places[:0]
			for ; i < len(pairs) && pairs[i]>>32 == term; i++ {
				if place := uint32(pairs[i]); len(places) == 0 || places[len(places)-1] != place { //nolint:gosec // G115: the lower half
					places = append(places, place)
				}
			}
			row.bytes = binary.AppendUvarint(row.bytes, term&(1<<restBits-1))
			row.bytes = appendPlaces(row.bytes, places, len(entries))
		}
		rows = append(rows, row)
	}
	return appendMembers(nil, entries), rows
}

// pairsOf returns for each bucket its terms, each with the place of a key that
// has it: they are brought there at once, as sorting all of them together takes
// three times as long.
func pairsOf(entries []entry) [][]uint64 {
	var counts [1 << bucketBits]int
	count := 0
	for i := range entries {
		count += len(entries[i].terms)
		for _, term := range entries[i].terms {
			counts[bucketOf(term)]++
		}
	}
	all, buckets := make([]uint64, count), make([][]uint64, len(counts))
	for i, size := range counts {
		buckets[i], all = all[:0:size], all[size:]
	}
	for place := range entries {
		for _, term := range entries[place].terms {
			b := &buckets[bucketOf(term)]
			*b = append(*b, uint64(term)<<32|uint64(place)) // a place is small
		}
	}
	return buckets
}

// appendPlaces appends places of size, and before them how many bytes they take.
func appendPlaces(to []byte, places []uint32, size int) []byte {
	list, next := make([]byte, 0, len(places)+8), uint32(0)
	for _, place := range places {
		list = binary.AppendUvarint(list, uint64(place-next))
		next = place + 1
	}
	if flags := (size + 7) / 8; len(list) >= flags {
		list = make([]byte, flags)
		for _, place := range places {
			list[place/8] |= 1 << (place % 8)
		}
	}
	return append(binary.AppendUvarint(to, uint64(len(list))), list...)
}

// appendMembers appends the numbers of keys as runs: how many numbers are left
// out, and how many follow each other.
func appendMembers(to []byte, entries []entry) []byte {
	next := int64(0)
	for i := 0; i < len(entries); {
		count := 1
		for i+count < len(entries) && entries[i+count].n == entries[i].n+int64(count) {
			count++
		}
		to = binary.AppendUvarint(to, uint64(entries[i].n-next)) //nolint:gosec // G115: numbers are positive and in order
		to = binary.AppendUvarint(to, uint64(count))             // positive
		next = entries[i].n + int64(count)
		i += count
	}
	return to
}

var errBroken = errors.New("a part of the index of texts is broken")

// run is keys of a part whose numbers follow each other.
type run struct{ n, place, count int64 }

// readMembers reads what appendMembers wrote.
func readMembers(from []byte, size int64) ([]run, error) {
	var runs []run
	next, place := int64(0), int64(0)
	for len(from) > 0 {
		skipped, width := binary.Uvarint(from)
		if width <= 0 {
			return nil, errBroken
		}
		count, more := binary.Uvarint(from[width:])
		if more <= 0 || count == 0 || count > uint64(size-place) || skipped > 1<<62 { //nolint:gosec // G115: place never passes size
			return nil, errBroken
		}
		from = from[width+more:]
		r := run{next + int64(skipped), place, int64(count)} //nolint:gosec // G115: checked
		runs = append(runs, r)
		next, place = r.n+r.count, place+r.count
	}
	if place != size {
		return nil, errBroken
	}
	return runs, nil
}

// places are a set of the places of a part.
type places []uint64

func newPlaces(size int64) places { return make(places, (size+63)/64) }

func (p places) and(other places) {
	for i := range p {
		p[i] &= other[i]
	}
}

// add adds the places of keys that have term, read from the postings of its bucket.
func (p places) add(from []byte, term uint32, size int64) error {
	rest := uint64(term & (1<<restBits - 1))
	for len(from) > 0 {
		found, width := binary.Uvarint(from)
		if width <= 0 {
			return errBroken
		}
		length, more := binary.Uvarint(from[width:])
		if more <= 0 || length > uint64(len(from[width+more:])) {
			return errBroken
		}
		from = from[width+more:]
		if found == rest {
			return p.addList(from[:length], size)
		}
		if found > rest {
			return nil
		}
		from = from[length:]
	}
	return nil
}

func (p places) addList(list []byte, size int64) error {
	if int64(len(list)) == (size+7)/8 {
		for i, b := range list {
			p[i/8] |= uint64(b) << (i % 8 * 8)
		}
		return nil
	}
	next := uint64(0)
	for len(list) > 0 {
		skipped, width := binary.Uvarint(list)
		if width <= 0 || skipped >= uint64(size)-next { //nolint:gosec // G115: next never passes size
			return errBroken
		}
		place := next + skipped
		p[place/64] |= 1 << (place % 64)
		next, list = place+1, list[width:]
	}
	return nil
}

// found is the keys of a part that have all that was asked for.
type found struct {
	runs   []run
	places places
}

// top is the highest number of the part's keys.
func (f *found) top() int64 {
	last := f.runs[len(f.runs)-1]
	return last.n + last.count - 1
}

// appendBelow appends the highest numbers below before, in falling order, most
// of them at most.
func (f *found) appendBelow(to []int64, before int64, most int) []int64 {
	r := sort.Search(len(f.runs), func(i int) bool { return f.runs[i].n >= before }) - 1
	if r < 0 {
		return to
	}
	place := f.runs[r].place + min(f.runs[r].count, before-f.runs[r].n) - 1
	for ; most > 0; most-- {
		if place = f.places.highest(place); place < 0 {
			return to
		}
		for f.runs[r].place > place {
			r = sort.Search(r, func(i int) bool { return f.runs[i].place > place }) - 1
		}
		to = append(to, f.runs[r].n+place-f.runs[r].place)
		place--
	}
	return to
}

// highest returns the highest place that is not above the given one, or -1.
func (p places) highest(place int64) int64 {
	if place < 0 {
		return -1
	}
	word := place / 64
	left := p[word] << (63 - place%64)
	if left != 0 {
		return place - int64(bits.LeadingZeros64(left))
	}
	for word--; word >= 0; word-- {
		if p[word] != 0 {
			return word*64 + 63 - int64(bits.LeadingZeros64(p[word]))
		}
	}
	return -1
}
