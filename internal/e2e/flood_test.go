package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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

// flood sends requests with unknown secrets, many on each connection without
// waiting for the answers, as whoever wants to do harm would.
type flood struct {
	sent, refused, unavailable, other atomic.Int64
	all                               sync.WaitGroup
}

// start sends so many requests a second over many connections, or as many as
// the machine can, for the given time.
func (f *flood) start(t *testing.T, g *Gateway, perSecond int, lasts time.Duration) {
	t.Helper()
	// Each request waits some 20 ms until the gateway knows: 20 000 a second
	// are 400 at a time.
	const connections, some = 512, 20
	u, err := url.Parse(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	var sent atomic.Int64
	for range connections {
		f.all.Go(func() {
			conn, err := net.Dial("tcp4", u.Host)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			for {
				first := sent.Add(some)
				due := time.Duration(first) * time.Second / time.Duration(perSecond)
				if due > lasts || time.Since(begin) > lasts {
					return
				}
				<-time.After(time.Until(begin.Add(due)))
				f.sent.Add(some)
				if err := f.batch(conn, answers, u.Host, some); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
}

func (f *flood) batch(conn net.Conn, answers *bufio.Reader, host string, n int) error {
	var text strings.Builder
	for range n {
		fmt.Fprintf(&text, "GET /rest/users HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", host, wellFormed("kw_"+rand.Text()+"abcdef"))
	}
	if _, err := io.WriteString(conn, text.String()); err != nil {
		return err
	}
	for range n {
		status, err := skim(answers)
		if err != nil {
			return err
		}
		switch status {
		case http.StatusUnauthorized:
			f.refused.Add(1)
		case http.StatusServiceUnavailable:
			f.unavailable.Add(1)
		default:
			f.other.Add(1)
		}
	}
	return nil
}

// skim reads an answer for its status alone: whoever floods has other things to
// do with the machine than this test's gateways.
func skim(from *bufio.Reader) (status int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := from.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		switch {
		case first:
			status, err = strconv.Atoi(string(value[:min(3, len(value))]))
		case string(name) == "Content-Length:":
			length, err = strconv.Atoi(string(value))
		case len(name) == 0:
			_, err = from.Discard(length)
			return status, err
		}
		if err != nil {
			return 0, fmt.Errorf("%q: %w", line, err)
		}
	}
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
	calm := timesOf(t, flooded, cached, 300)
	asked := s.statements()
	_, before := flooded.resident()

	looked, read := asked.like(lookUps), asked.like(reads)
	began := time.Now()
	var f flood
	f.start(t, flooded, perSecond, lasts)
	over := make(chan struct{})
	go func() { f.all.Wait(); close(over) }()
	var during []time.Duration
	made := 0
	for done := false; !done; made++ {
		key := a.Create(nil)
		for _, g := range []*Gateway{flooded, third, a} { // whether it has heard of the key or not
			Expect(t, g.use(key.Secret), http.StatusOK, "")
		}
		during = append(during, timesOf(t, flooded, cached, 10)...)
		select {
		case <-over:
			done = true
		default:
		}
	}
	took := time.Since(began)
	looked, read = asked.like(lookUps)-looked, asked.like(reads)-read
	_, most := flooded.resident()
	t.Logf("%d unknown secrets in %s: %d refused, %d not looked up; %d look-ups and %d readings of the change feed, of all gateways",
		f.sent.Load(), took, f.refused.Load(), f.unavailable.Load(), looked, read)
	t.Logf("%d keys made meanwhile; cached keys without the flood p50 %s, p99 %s, during it p50 %s, p99 %s; memory at most %d MiB before, %d MiB with it",
		made, percentile(calm, 50), percentile(calm, 99), percentile(during, 50), percentile(during, 99), before, most)

	// What was saved up before, and what may be taken in advance, is a second
	// each. A new key is looked up on each gateway, and again when it is heard
	// of meanwhile; its change is read by each.
	if allowed := int64(lookups*(took.Seconds()+2)) + int64(6*made); looked > allowed {
		t.Errorf("%d look-ups, at most %d allowed", looked, allowed)
	}
	if allowed := int64(50*(took.Seconds()+1)) + int64(6*made) + int64(10*took.Seconds()); read > allowed {
		t.Errorf("%d readings of the change feed, at most %d allowed", read, allowed)
	}
	if n := f.refused.Load() + f.unavailable.Load(); n != f.sent.Load() || n < 10*lookups || f.other.Load() > 0 {
		t.Errorf("%d answers of %d, %d of another kind", n, f.sent.Load(), f.other.Load())
	}
	// Requests that wait take 15 kB each, 4096 may; the rest is the collector's.
	if most > before+256 {
		t.Errorf("it took %d MiB more than before", most-before)
	}
}

// timesOf uses a key that is cached, which must be allowed.
func timesOf(t *testing.T, g *Gateway, key Key, n int) []time.Duration {
	t.Helper()
	times := make([]time.Duration, n)
	for i := range times {
		began := time.Now()
		Expect(t, g.use(key.Secret), http.StatusOK, "")
		times[i] = time.Since(began)
	}
	return times
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
