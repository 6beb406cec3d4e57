package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// reloads is how often the configuration changes while connections come and go.
const reloads = 10

// caller is one way to call: how connections are used, and what is sent.
type caller struct {
	name   string
	method string
	body   string
	// perHost is how many idle connections are kept; -1: each request opens
	// one of its own.
	perHost int
	// pause is how long each client thinks between two requests.
	pause time.Duration
}

// A POST is never sent again by an HTTP client by itself, whatever happened
// to its connection: what it loses is seen.
var callers = []caller{
	{"a connection for each request", "GET", "", -1, 0},
	{"few idle connections", "GET", "", 2, 0},
	{"connections that are kept", "POST", `{"q":1}`, inFlight, 0},
	{"connections that rest", "POST", `{"q":1}`, inFlight, 40 * time.Millisecond},
}

// tally is what became of requests.
type tally struct {
	allowed atomic.Int64
	mu      sync.Mutex
	lost    map[string]int // what the client saw: how often
}

func (l *tally) lose(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[what]++
}

// keepCalling calls from inFlight clients at once until ctx ends.
func (c caller) keepCalling(ctx context.Context, target, secret string, l *tally) *sync.WaitGroup {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives:   c.perHost < 0,
		MaxIdleConnsPerHost: max(c.perHost, 0),
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp4", address)
		},
	}}
	var working sync.WaitGroup
	for range inFlight {
		working.Go(func() {
			for ctx.Err() == nil {
				if err := c.call(ctx, client, target, secret); err != nil && ctx.Err() == nil {
					l.lose(plain(err))
				} else if err == nil {
					l.allowed.Add(1)
				}
				if c.pause > 0 {
					select {
					case <-time.After(c.pause):
					case <-ctx.Done():
					}
				}
			}
		})
	}
	return &working
}

// call sends one request. Its body can't be sent twice, so that the client
// does not hide a loss by trying again.
func (c caller) call(ctx context.Context, client *http.Client, target, secret string) error {
	r, err := http.NewRequestWithContext(ctx, c.method, target, nil)
	if err != nil {
		return err
	}
	if c.body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %d", response.StatusCode)
	}
	return nil
}

// plain takes the ports out of an error, so that equal ones count as one.
func plain(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

func TestReloadsResetNoConnection(t *testing.T) {
	for _, c := range callers {
		t.Run(c.name, func(t *testing.T) {
			upstream := NewUpstream(t)
			g := Start(t, Options{Config: caddyfile, Upstream: upstream.Address})
			key := g.Create(nil)
			l := &tally{lost: map[string]int{}}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			working := c.keepCalling(ctx, g.URL+"/rest/users", key.Secret, l)
			await := func() {
				from := l.allowed.Load()
				Eventually(t, 30*time.Second, "served", func() bool { return l.allowed.Load() >= from+2*inFlight })
			}
			await()
			for i := range reloads {
				// Another configuration each time: Caddy passes over one that it has.
				g.WriteConfig(strings.Replace(caddyfile, "public /healthz", fmt.Sprintf("public /healthz /n%d", i), 1))
				if out, err := g.Reload(); err != nil {
					t.Errorf("reload %d: %v\n%s", i, err, out)
				}
				await()
			}
			stop()
			working.Wait()
			t.Logf("%d requests, %d reloads", l.allowed.Load(), reloads)
			for what, n := range l.lost {
				t.Errorf("%d requests: %s", n, what)
			}
			Expect(t, g.Call("GET", fmt.Sprintf("/n%d", reloads-1), ""), http.StatusOK, "")
		})
	}
}
