package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheDatabaseIsAskedWhenItMayHaveChanged(t *testing.T) {
	log := filepath.Join(t.TempDir(), "keys.db-wal")
	start := time.Now().Truncate(time.Second)
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(log, at, at); err != nil {
			t.Fatal(err)
		}
	}
	var g glance
	ask := func(why string, after time.Duration, want bool) {
		t.Helper()
		if got := g.mustAsk(log, start.Add(after)); got != want {
			t.Errorf("%s: asked %t, want %t", why, got, want)
		}
	}
	ask("at first", 0, true)
	ask("no log", 25*time.Millisecond, true)
	write("a", start)
	ask("written a moment ago", 40*time.Millisecond, true)
	ask("another write may have the same time", 50*time.Millisecond, true)
	ask("written long enough ago", 60*time.Millisecond, false)
	ask("asked long ago", 200*time.Millisecond, true)
	ask("nothing happened", 225*time.Millisecond, false)
	write("b", start.Add(100*time.Millisecond))
	ask("another time", 250*time.Millisecond, true)
	ask("nothing happened", 270*time.Millisecond, false)
	write("longer", start.Add(100*time.Millisecond))
	ask("another size", 290*time.Millisecond, true)
	write("longer", start.Add(time.Hour)) // somebody set the clock back
	ask("in the future", 300*time.Millisecond, true)
	ask("still in the future", 310*time.Millisecond, true)
}
