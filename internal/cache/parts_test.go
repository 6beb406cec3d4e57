package cache

import (
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestAsManyEntriesAsAskedForFindRoomInParts(t *testing.T) {
	const size = 120_000
	p, err := newParts[*keys.Digest](size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	if len(p) < 2 {
		t.Fatalf("%d parts", len(p))
	}
	for i := range size {
		d := digest(i)
		p.set(&d, &d)
		if i%1000 == 0 {
			p.wait()
		}
	}
	p.wait()
	missing := 0
	for i := range size {
		d := digest(i)
		if got, ok := p.get(&d); !ok || *got != d {
			missing++
		}
	}
	if missing > size/1000 {
		t.Errorf("%d of %d are missing", missing, size)
	}
}

func TestPartsAreFull(t *testing.T) {
	for size := int64(fullPart / 4); size < 20*fullPart; size += 997 {
		n := partsFor(size)
		// Half and quarter parts fill maps of half and a quarter the size.
		each := size / n
		for each < fullPart*3/5 {
			each *= 2
		}
		if size > fullPart && (each < fullPart*3/4 || each > fullPart) {
			t.Fatalf("%d entries in %d parts: %d each", size, n, size/n)
		}
		if n > 1 && size/n < fullPart/4/2 {
			t.Fatalf("%d entries in %d parts: too many", size, n)
		}
	}
	for _, size := range []int64{1, 1000, fullPart / 4} {
		if n := partsFor(size); n != 1 {
			t.Errorf("%d entries in %d parts", size, n)
		}
	}
}
