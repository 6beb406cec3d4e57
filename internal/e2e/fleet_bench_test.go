package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// BenchmarkQueriesOfAFleet counts what the server is asked by gateways that
// have nothing to do, and for each change. docs/scaling.md has its numbers.
func BenchmarkQueriesOfAFleet(b *testing.B) {
	for _, n := range []int{1, 3, 6} {
		b.Run(fmt.Sprint(n, " gateways"), func(b *testing.B) {
			s := startShared(b, counted)
			gateways := make([]*Gateway, n)
			for i := range gateways {
				gateways[i] = s.gateway(nil)
			}
			key := gateways[0].Create(nil)
			gateways[0].settled()
			asked := s.statements()
			const changes, idle = 100, 5 * time.Second
			for b.Loop() {
				before := asked.like("%")
				<-time.After(idle)
				quiet := asked.like("%") - before
				b.ReportMetric(float64(quiet)/idle.Seconds(), "statements/s-idle")

				before = asked.like("%")
				began := time.Now()
				for i := range changes {
					gateways[0].Patch(key.ID, map[string]any{"name": fmt.Sprint("name ", i)})
					<-time.After(20 * time.Millisecond) // changes come one by one
				}
				took := time.Since(began)
				all := float64(asked.like("%") - before)
				b.ReportMetric((all-float64(quiet)*took.Seconds()/idle.Seconds())/changes, "statements/change")
			}
		})
	}
}

// floor is a bare notification on connections of its own, beside which the
// way of a change is measured.
type floor struct{ notify func() time.Duration }

func newFloor(t testing.TB, address string) floor {
	t.Helper()
	say, listen := pgtest.Connect(t, address), pgtest.Connect(t, address)
	if _, err := listen.Exec(t.Context(), `LISTEN floor`); err != nil {
		t.Fatal(err)
	}
	return floor{func() time.Duration {
		t.Helper()
		heard := make(chan time.Time, 1)
		go func() {
			if _, err := listen.WaitForNotification(t.Context()); err != nil {
				t.Error(err)
			}
			heard <- time.Now()
		}()
		if _, err := say.Exec(t.Context(), `NOTIFY floor`); err != nil {
			t.Fatal(err)
		}
		said := time.Now()
		return max(0, (<-heard).Sub(said))
	}}
}
