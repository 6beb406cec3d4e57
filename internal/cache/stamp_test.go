package cache

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAStampSaysWhatItWasMadeOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Duration(rapid.Int64Range(0, int64(30*365*24*time.Hour)).Draw(t, "at"))
		generation := rapid.Uint32().Draw(t, "generation")
		s := stamp(at, generation)
		if got := stampedAt(s); got > at || at-got >= time.Millisecond {
			t.Fatalf("at %s, stamped %s", at, got)
		}
		if !sameGeneration(s, generation) {
			t.Fatal("it is of another generation")
		}
		if other := generation + rapid.Uint32Range(1, generationMask).Draw(t, "later"); sameGeneration(s, other) {
			t.Fatalf("generation %d passes for %d", generation, other)
		}
	})
}
