package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// counted is a server that counts each statement.
var counted = pgtest.Options{Settings: []string{"shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track=all"}}

// statements counts what the server was asked.
type statements struct {
	t    testing.TB
	conn *pgx.Conn
}

func (s *shared) statements() *statements {
	s.t.Helper()
	conn := pgtest.Connect(s.t, s.server.Address("postgres"))
	if _, err := conn.Exec(s.t.Context(), `CREATE EXTENSION pg_stat_statements`); err != nil {
		s.t.Fatal(err)
	}
	return &statements{s.t, conn}
}

// like returns how often statements with this in them were executed.
func (s *statements) like(pattern string) (calls int64) {
	s.t.Helper()
	err := s.conn.QueryRow(s.t.Context(), `SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE $1`, pattern).Scan(&calls)
	if err != nil {
		s.t.Fatal(err)
	}
	return calls
}

const (
	lookUps = `%FROM secrets s JOIN keys k ON k.n = s.key_n WHERE s.digest%`
	reads   = `%LEFT JOIN changes c ON c.seq >%`
)

// quiet is a gateway's configuration without an access log: a line for each
// request of a flood would be what is measured.
func quiet(o Options) Options {
	o.Config = strings.Replace(o.Config, "\tlog\n", "", 1)
	return o
}

// resident returns the process's memory in MiB: now, and at most until now.
func (g *Gateway) resident() (now, most int) {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(g.cmd.Process.Pid), "status"))
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.Atoi(fields[1]) // most lines are about something else
		switch fields[0] {
		case "VmRSS:":
			now = kb >> 10
		case "VmHWM:":
			most = kb >> 10
		}
	}
	return now, most
}

func TestAFloodOfUnknownSecretsIsBoundedAndShutsOutNoNewKey(t *testing.T) {
	const perSecond, lasts, lookups = 20_000, 10 * time.Second, 500
	s := startShared(t, counted)
	start := func() *Gateway { return Start(t, quiet(s.options(nil))) }
	a, flooded, third := start(), start(), start()
	cached := a.Create(nil)
	a.settled()
	probe := newProber(t, flooded, cached.Secret)
	made := 0
	work := func() {
		made++
		key := a.Create(nil)
		for _, g := range []*Gateway{flooded, third, a} { // whether it has heard of the key or not
			Expect(t, g.use(key.Secret), http.StatusOK, "")
		}
	}
	_, before := flooded.resident()
	// What the machine itself makes of that: nothing else to do, and as many
	// requests that are refused for their form alone.
	_, calm := probe.besides(t, nil, time.Second, work)
	floods := []flooding{{Host: flooded.host(), PerSecond: perSecond, Malformed: true}}
	_, floor := probe.besides(t, floods, 2*time.Second, work)
	asked := s.statements()

	looked, read := asked.like(lookUps), asked.like(reads)
	began := time.Now()
	made = 0
	floods[0].Malformed = false
	f, during := probe.besides(t, floods, lasts, work)
	took := time.Since(began)
	looked, read = asked.like(lookUps)-looked, asked.like(reads)-read
	_, most := flooded.resident()
	t.Logf("%d unknown secrets in %s: %d refused, %d not looked up, %d more not taken; %d look-ups and %d readings of the change feed, of all gateways",
		f.Sent, took, f.Refused, f.Unavailable, f.Late, looked, read)
	t.Logf("cached keys without the flood p50 %s, p99 %s; beside as many malformed secrets p50 %s, p99 %s; during the flood p50 %s, p99 %s",
		percentile(calm, 50), percentile(calm, 99), percentile(floor, 50), percentile(floor, 99), percentile(during, 50), percentile(during, 99))
	t.Logf("%d keys made meanwhile; memory at most %d MiB before, %d MiB with it", made, before, most)

	// What was saved up before, and what may be taken in advance, is a second
	// each. A new key is looked up on each gateway, and again when it is heard
	// of meanwhile; its change is read by each.
	if allowed := int64(lookups*(took.Seconds()+2)) + int64(6*made); looked > allowed {
		t.Errorf("%d look-ups, at most %d allowed", looked, allowed)
	}
	if allowed := int64(200*(took.Seconds()+1)) + int64(6*made) + int64(10*took.Seconds()); read > allowed {
		t.Errorf("%d readings of the change feed, at most %d allowed", read, allowed)
	}
	if n := f.Refused + f.Unavailable; n != f.Sent || n < 10*lookups || f.Other > 0 {
		t.Errorf("%d answers of %d, %d of another kind", n, f.Sent, f.Other)
	}
	// Requests that wait take 15 kB each, 4096 may; the rest is the collector's.
	if most > before+256*memoryFactor {
		t.Errorf("it took %d MiB more than before", most-before)
	}
}

func TestTenThousandRequestsForAColdKeyAreOneQuery(t *testing.T) {
	const requests, at = 10_000, 500
	s := startShared(t, counted)
	way := s.proxy()
	a, g := Start(t, quiet(s.options(nil))), Start(t, quiet(s.options(way)))
	key := a.Create(nil)
	a.settled()
	asked := s.statements()
	before := asked.like(lookUps)
	// The answer is held until many wait for it.
	lookUp := way.Catch(digest(key.Secret))
	held := lookUp.Hold()
	var left atomic.Int64
	left.Store(requests)
	var all sync.WaitGroup
	for range at {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				answer, err := g.TryCall("GET", "/rest/users", "", Bearer(key.Secret))
				if err != nil || answer.Status != http.StatusOK {
					t.Errorf("%v %s", err, answer)
				}
			}
		})
	}
	<-held
	Eventually(t, 2*time.Second, "all of them under way", func() bool { return left.Load() <= requests-at })
	lookUp.Release()
	all.Wait()
	if n := asked.like(lookUps) - before; n != 1 {
		t.Errorf("%d requests for a cold key were %d queries", requests, n)
	}
}
