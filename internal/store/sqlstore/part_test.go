package sqlstore

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// entries draws keys with rising numbers and terms that few or many have.
func entries(t *rapid.T) []entry {
	all := make([]entry, rapid.IntRange(1, 300).Draw(t, "keys"))
	n := rapid.Int64Range(0, 1<<40).Draw(t, "first")
	for i := range all {
		n += rapid.SampledFrom([]int64{1, 1, 1, 2, 70, 1 << 30}).Draw(t, "gap")
		all[i].n = n
		all[i].terms = rapid.SliceOfN(rapid.SampledFrom(terms), 0, 6).Draw(t, "terms")
	}
	return all
}

// terms share buckets, and are at either end of what a term can be.
var terms = []uint32{0, 1, 2, 1<<restBits - 1, 1 << restBits, 1<<restBits + 1, 1 << 31, 1<<32 - 1}

func numbersWith(all []entry, term uint32) (numbers []int64) {
	for i := len(all) - 1; i >= 0; i-- {
		if slices.Contains(all[i].terms, term) {
			numbers = append(numbers, all[i].n)
		}
	}
	return numbers
}

// read reads a part as it was written.
func readPart(t *rapid.T, all []entry, term uint32) found {
	members, rows := newPart(all)
	p := &part{size: int64(len(all)), postings: map[int64][]byte{}}
	for _, row := range rows {
		p.postings[row.bucket] = row.bytes
	}
	runs, err := readMembers(members, p.size)
	if err != nil {
		t.Fatal(err)
	}
	set, err := p.with(wanted{term})
	if err != nil {
		t.Fatal(err)
	}
	return found{runs, set}
}

func TestAPartFindsTheKeysThatHaveATermNewestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := entries(t)
		term := rapid.SampledFrom(terms).Draw(t, "term")
		before := rapid.SampledFrom(all).Draw(t, "before").n + rapid.Int64Range(-1, 1).Draw(t, "by")
		most := rapid.IntRange(0, 400).Draw(t, "most")
		want := slices.DeleteFunc(numbersWith(all, term), func(n int64) bool { return n >= before })
		want = want[:min(most, len(want))]
		found := readPart(t, all, term)
		if diff := cmp.Diff(want, found.appendBelow(nil, before, most), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		if top := found.top(); top != all[len(all)-1].n {
			t.Fatalf("the highest number is %d, want %d", top, all[len(all)-1].n)
		}
	})
}

func TestCandidatesOfSeveralPartsComeInOrderAndOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		term := rapid.SampledFrom(terms).Draw(t, "term")
		var c candidates
		var want []int64
		for range rapid.IntRange(0, 4).Draw(t, "parts") {
			all := entries(t)
			want = append(want, numbersWith(all, term)...)
			c.parts = append(c.parts, readPart(t, all, term))
		}
		for range rapid.IntRange(0, 3).Draw(t, "rest") {
			c.rest = append(c.rest, rapid.Int64Range(0, 1<<40).Draw(t, "number"))
		}
		want = append(want, c.rest...)
		falling := func(a, b int64) int { return int(b - a) }
		slices.SortFunc(c.rest, falling)
		slices.SortFunc(c.parts, func(a, b found) int { return int(b.top() - a.top()) })
		slices.SortFunc(want, falling)
		want = slices.Compact(want)
		c.rest = slices.Compact(c.rest)
		var got []int64
		for before := int64(1 << 62); ; {
			some, err := c.below(context.Background(), before, 7)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, some...)
			if len(some) < 7 {
				break
			}
			before = some[6]
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

// A term that every key has takes a bit of each, and one that a few have a byte
// or two of those.
func TestPostingsAreSmall(t *testing.T) {
	all := make([]entry, 10_000)
	for i := range all {
		all[i] = entry{int64(i + 1), []uint32{1}}
	}
	all[77].terms = append(all[77].terms, 1<<31)
	members, rows := newPart(all)
	if len(members) > 4 {
		t.Errorf("numbers that follow each other take %d bytes", len(members))
	}
	if len(rows) != 2 || len(rows[0].bytes) > 1250+4 || len(rows[1].bytes) > 4 {
		t.Errorf("%d rows of %d and %d bytes", len(rows), len(rows[0].bytes), len(rows[1].bytes))
	}
}

// What a damaged disk says must end in an error, and in no panic.
func FuzzBrokenParts(f *testing.F) {
	members, rows := newPart([]entry{{3, []uint32{1, 2}}, {5, []uint32{1}}, {6, []uint32{1}}})
	f.Add(members, rows[0].bytes, int64(3), uint32(1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1}, []byte{1, 0xff, 1}, int64(1), uint32(1))
	f.Add([]byte{0, 0}, []byte{1, 1, 9}, int64(2), uint32(1))
	f.Fuzz(func(t *testing.T, members, bytes []byte, size int64, term uint32) {
		size %= maxPart
		if size <= 0 {
			return
		}
		set := newPlaces(size)
		err := set.add(bytes, term, size)
		runs, broken := readMembers(members, size)
		if err := errors.Join(err, broken); err != nil {
			if !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			return
		}
		f := found{runs, set}
		numbers := f.appendBelow(nil, f.top()+1, 1<<20)
		if int64(len(numbers)) > size || !slices.IsSortedFunc(numbers, func(a, b int64) int { return int(b - a) }) {
			t.Fatalf("%d numbers of %d keys: %v", len(numbers), size, numbers)
		}
	})
}

func TestMembersThatDoNotAddUpAreBroken(t *testing.T) {
	for name, c := range map[string]struct {
		members []byte
		size    int64
	}{
		"none of one":   {nil, 1},
		"two of one":    {[]byte{0, 2}, 1},
		"half a run":    {[]byte{0}, 1},
		"an empty run":  {[]byte{0, 0, 0, 1}, 1},
		"no number":     {binary.AppendUvarint(nil, 1<<63), 1},
		"far too great": {append(binary.AppendUvarint(nil, 1<<63), 1), 1},
	} {
		if _, err := readMembers(c.members, c.size); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
