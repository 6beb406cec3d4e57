package gate

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestALongReadingRestsMostOfTheTimeButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const row = 50 * time.Microsecond
		read := func(ctx context.Context, rows int) time.Duration {
			began, g := time.Now(), newGentle()
			for range rows {
				time.Sleep(row)
				g.rest(ctx)
			}
			return time.Since(began)
		}
		if took, want := read(t.Context(), 16_000), 5*16_000*row; took != want {
			t.Errorf("16 000 rows took %s, want %s", took, want)
		}
		if took := read(t.Context(), 15); took != 15*row {
			t.Errorf("15 rows took %s", took)
		}
		// What takes 20 s by itself must be done before the store gives it up.
		if took := read(t.Context(), 400_000); took < 40*time.Second || took > 50*time.Second {
			t.Errorf("400 000 rows took %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if took := read(ctx, 16_000); took != 16_000*row {
			t.Errorf("with nobody waiting any more, 16 000 rows took %s", took)
		}
	})
}
