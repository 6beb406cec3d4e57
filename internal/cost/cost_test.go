package cost

import "testing"

func TestAnOperationRunsOnceBeforeItIsMeasured(t *testing.T) {
	operations, rounds := 0, 0
	testing.Benchmark(func(b *testing.B) {
		before := operations
		measure(b, func() { operations++ })
		if got := operations - before; got != b.N+1 {
			t.Errorf("%d operations, want %d and one before them", got, b.N)
		}
		rounds++
	})
	if rounds == 0 {
		t.Error("nothing ran")
	}
}

// Outside of valgrind the requests are instructions that must change nothing.
func TestCountingDisturbsNobody(t *testing.T) {
	a, b, c, d := 1, 2, 3, 4
	for i := range 1000 {
		begin()
		a, b, c, d = b, c, d, a+i
		end("name", i)
	}
	x, y, z, w := 1, 2, 3, 4
	for i := range 1000 {
		x, y, z, w = y, z, w, x+i
	}
	if a != x || b != y || c != z || d != w {
		t.Errorf("%d %d %d %d, want %d %d %d %d", a, b, c, d, x, y, z, w)
	}
}
