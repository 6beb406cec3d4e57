package e2e

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// How a store goes down, and comes back.
type fault struct{ down, up func(t *testing.T, f *faulty) }

var faults = map[string]fault{
	"its server is killed": {
		func(_ *testing.T, f *faulty) { f.server.Kill() },
		func(t *testing.T, f *faulty) { f.server.Restart(t) },
	},
	"its server is stopped": {
		func(_ *testing.T, f *faulty) { f.server.Pause() },
		func(_ *testing.T, f *faulty) { f.server.Resume() },
	},
	"connections are refused": {
		func(_ *testing.T, f *faulty) { f.way.Refuse(); f.way.Cut() },
		func(t *testing.T, f *faulty) { f.way.Accept(t) },
	},
	"connections hang": {
		func(_ *testing.T, f *faulty) { f.way.Hold(); f.way.Cut() },
		func(_ *testing.T, f *faulty) { f.way.Release() },
	},
	"its connection table is full": {
		func(t *testing.T, f *faulty) { f.fill(t) },
		func(t *testing.T, f *faulty) { f.empty(t) },
	},
	"it moves to another port": {
		func(_ *testing.T, f *faulty) { f.way.Refuse(); f.way.Cut() },
		func(t *testing.T, f *faulty) { f.other.Accept(t) },
	},
}

// faulty is a store with two ways to it, of which the second is closed.
type faulty struct {
	*shared
	way, other *pgtest.Proxy
	taken      []*pgx.Conn
}

// address has both ways, as for a server and the one that takes over.
func (f *faulty) address() string {
	return strings.Replace(f.way.Address(f.database), f.way.Host(), f.way.Host()+","+f.other.Host(), 1)
}

// fill takes all connections that the server has.
func (f *faulty) fill(t *testing.T) {
	t.Helper()
	f.way.Refuse()
	f.way.Cut()
	Eventually(t, recovery, "gone", func() bool { return f.way.Connections() == 0 })
	Eventually(t, recovery, "full", func() bool {
		conn, err := pgx.Connect(t.Context(), f.server.Address(f.database))
		for ; err == nil; conn, err = pgx.Connect(t.Context(), f.server.Address(f.database)) {
			f.taken = append(f.taken, conn)
		}
		return strings.Contains(err.Error(), "too many clients")
	})
	f.way.Accept(t)
}

func (f *faulty) empty(t *testing.T) {
	t.Helper()
	for _, conn := range f.taken {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func startFaulty(t *testing.T) *faulty {
	t.Helper()
	f := &faulty{shared: startShared(t, pgtest.Options{MaxConnections: 30, Durable: true})}
	f.way, f.other = f.proxy(), f.proxy()
	f.other.Refuse()
	return f
}

func TestWhileTheStoreIsDownWhatIsKnownHolds(t *testing.T) {
	var all sync.WaitGroup // most of it is waiting, whatever -parallel is
	for name, fault := range faults {
		all.Go(func() {
			t.Run(name, func(t *testing.T) { seeThrough(t, fault) })
		})
	}
	all.Wait()
}

func seeThrough(t *testing.T, fault fault) {
	const ttl, stale = 500 * time.Millisecond, 5 * time.Second
	f := startFaulty(t)
	g := Start(t, Options{
		Config:   configured(f.address(), "ttl "+ttl.String(), "stale_if_error "+stale.String(), "unknown_ttl 1m"),
		Upstream: f.upstream, Dir: f.dir,
	})
	o := outage{cached: g.Create(nil), deleted: g.Create(nil), disabled: g.Create(nil), cold: g.Create(nil), stale: stale}
	g.delete(o.deleted.ID)
	g.Patch(o.disabled.ID, map[string]any{"enabled": false})
	g.settled() // what is heard of a key makes the gateway forget it
	o.asked = time.Now()
	Expect(t, g.use(o.deleted.Secret), http.StatusUnauthorized, "unknown_key")
	Expect(t, g.use(o.disabled.Secret), http.StatusUnauthorized, "disabled_key")
	Expect(t, g.use(o.cached.Secret), http.StatusOK, "")

	fault.down(t, f)
	o.see(t, g)

	fault.up(t, f)
	back := time.Now()
	Eventually(t, recovery, "right again", func() bool {
		return g.status("/readyz") == http.StatusOK && g.use(o.cached.Secret).Status == http.StatusOK && g.use(o.cold.Secret).Status == http.StatusOK
	})
	recovered := time.Since(back)
	Expect(t, g.use(o.deleted.Secret), http.StatusUnauthorized, "unknown_key")
	Expect(t, g.use(o.disabled.Secret), http.StatusUnauthorized, "disabled_key")
	made := g.Create(nil)
	Expect(t, g.use(made.Secret), http.StatusOK, "")
	g.delete(made.ID)
	Expect(t, g.use(made.Secret), http.StatusUnauthorized, "unknown_key")
	t.Logf("%d requests with a cached key were allowed, p50 %s, slowest %s, until %s after it was checked; right again after %s",
		len(o.took), percentile(o.took, 50), slices.Max(o.took), o.ended, recovered)
}

// outage is what is known when the store goes down.
type outage struct {
	cached, deleted, disabled, cold Key

	asked time.Time     // the store was asked for cached, deleted and disabled after this
	stale time.Duration // how long cached may be used from then on
	took  []time.Duration
	ended time.Duration // when it was refused
}

// see sees the gateway through the outage until it refuses the cached key,
// which it must not before its time.
func (o *outage) see(t *testing.T, g *Gateway) {
	t.Helper()
	for {
		began := time.Now()
		answer := g.use(o.cached.Secret)
		if answer.Status != http.StatusOK {
			o.ended = time.Since(o.asked)
			checkUnavailable(t, answer)
			break
		}
		o.took = append(o.took, time.Since(began))
		if began.Sub(o.asked) > o.stale+recovery {
			t.Fatalf("a cached key is allowed %s after it was checked", began.Sub(o.asked))
		}
		if len(o.took)%20 == 1 {
			o.checkOthers(t, g)
		}
		<-time.After(PollEvery)
	}
	// Until it is known that the store hangs, a request waits for it.
	if waited := slices.DeleteFunc(slices.Clone(o.took), func(d time.Duration) bool { return d < time.Second }); len(waited) > 2 {
		t.Errorf("requests with a cached key waited for the store: %v", waited)
	}
	if o.ended < o.stale {
		t.Errorf("a cached key was refused %s after it was checked", o.ended)
	}
	if got := g.status("/healthz"); got != http.StatusOK {
		t.Errorf("/healthz is %d", got)
	}
	if got := g.status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz is %d", got)
	}
}

// checkOthers checks the keys that nobody may use.
func (o *outage) checkOthers(t *testing.T, g *Gateway) {
	t.Helper()
	checkUnavailable(t, g.use(o.cold.Secret))
	Expect(t, g.use(o.deleted.Secret), http.StatusUnauthorized, "unknown_key")
	answer := g.use(o.disabled.Secret)
	if time.Since(o.asked) < o.stale {
		Expect(t, answer, http.StatusUnauthorized, "disabled_key")
	} else if answer.Text("code") != "disabled_key" {
		checkUnavailable(t, answer)
	}
}

// checkUnavailable checks that nobody is told that a key is unknown, or let
// in, while that can't be known.
func checkUnavailable(t *testing.T, answer Answer) {
	t.Helper()
	Expect(t, answer, http.StatusServiceUnavailable, "store_unavailable")
	if answer.Header.Get("Retry-After") == "" {
		t.Errorf("no Retry-After in %v", answer.Header)
	}
}
