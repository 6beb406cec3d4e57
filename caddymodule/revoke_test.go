package caddymodule

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// watched is a set of open requests over keys that a test changes.
type watched struct {
	*openRequests
	mu    sync.Mutex
	keys  map[keys.Digest]*keys.Identity
	fault error
	asked atomic.Int64
}

func newWatched() *watched {
	w := &watched{keys: map[keys.Digest]*keys.Identity{}}
	w.openRequests = newOpenRequests(func(_ context.Context, d *keys.Digest, _ time.Time) (*keys.Identity, gate.Found, error) {
		w.asked.Add(1)
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.keys[*d], gate.Hit, w.fault
	})
	w.askAfter(time.Minute)
	return w
}

// set stores a key that may read, or removes it, and tells of the change.
func (w *watched) set(n byte, there bool, fault error) *keys.Identity {
	key := keys.NewIdentity(keys.Digest{n}, keys.Names{}, &keys.Rights{Enabled: true, Permissions: permission.Set{Mode: permission.ReadOnly}}, 0)
	w.mu.Lock()
	w.fault = fault
	delete(w.keys, key.Digest)
	if there {
		w.keys[key.Digest] = key
	}
	w.mu.Unlock()
	w.doubt([]keys.Digest{key.Digest})
	return key
}

// cuts counts how often its request was cut off.
type cuts struct {
	discard
	n atomic.Int64
}

func (c *cuts) SetWriteDeadline(time.Time) error { c.n.Add(1); return nil }

// begin opens a request that began some time ago.
func (w *watched) begin(key *keys.Identity, ago time.Duration, upgrade string) (*openRequest, *cuts) {
	answer, r := new(cuts), &http.Request{Header: http.Header{}}
	if upgrade != "" {
		r.Header.Set("Upgrade", upgrade)
	}
	d := gate.Decision{Outcome: gate.Allowed, Key: key, API: "rest", Needs: permission.Read}
	return w.enter(new(caller), answer, r, &d, "203.0.113.7", time.Now().Add(-ago)), answer
}

// round judges what is due.
func (w *watched) round() {
	for i := range w.shards {
		w.openRequests.round(context.Background(), &w.shards[i], time.Now())
	}
}

func TestOnlyRequestsThatLastAreCutOff(t *testing.T) {
	w := newWatched()
	key, other := w.set(1, true, nil), w.set(2, true, nil)
	young, youngCuts := w.begin(key, 0, "")
	old, oldCuts := w.begin(key, 2*ordinaryAge, "")
	socket, socketCuts := w.begin(key, 0, "websocket")
	another, anotherCuts := w.begin(other, 2*ordinaryAge, "")
	ended, endedCuts := w.begin(key, 2*ordinaryAge, "")
	w.leave(ended)
	w.set(1, false, nil)
	w.round()
	for _, c := range []struct {
		name string
		cuts *cuts
		want int64
	}{
		{"a young one", youngCuts, 0},
		{"an old one", oldCuts, 1},
		{"a WebSocket", socketCuts, 1},
		{"one of another key", anotherCuts, 0},
		{"one that has ended", endedCuts, 0},
	} {
		if got := c.cuts.n.Load(); got != c.want {
			t.Errorf("%s was cut off %d times, want %d", c.name, got, c.want)
		}
	}
	w.round()
	if oldCuts.n.Load() != 2 {
		t.Error("one that goes on nevertheless is not cut off again")
	}
	for _, request := range []*openRequest{young, old, socket, another} {
		w.leave(request)
	}
	for i := range w.shards {
		w.shards[i].each(func(*openRequest) { t.Error("a request that has ended is watched") })
	}
}

func TestAKeyThatHasNotChangedIsAskedForOnce(t *testing.T) {
	w := newWatched()
	request, answer := w.begin(w.set(1, true, nil), 2*ordinaryAge, "")
	defer w.leave(request)
	for range 5 {
		w.round()
	}
	if n := w.asked.Load(); n != 1 || answer.n.Load() != 0 {
		t.Errorf("asked %d times, cut off %d times; want 1 and 0", n, answer.n.Load())
	}
	w.doubtAll()
	w.round()
	if n := w.asked.Load(); n != 2 {
		t.Errorf("after the feed lost its place: asked %d times, want 2", n)
	}
	w.askAfter(0)
	request.asked = time.Now().Add(-2 * lookEvery)
	w.round()
	if n := w.asked.Load(); n != 3 {
		t.Errorf("after the ttl: asked %d times, want 3", n)
	}
}

func TestWhileTheStoreIsDownRequestsGoOnUntilItSays(t *testing.T) {
	w := newWatched()
	request, answer := w.begin(w.set(1, true, nil), 2*ordinaryAge, "")
	defer w.leave(request)
	w.set(1, false, errors.New("down"))
	w.round()
	if answer.n.Load() != 0 {
		t.Error("it was cut off, and nobody knows why")
	}
	w.mu.Lock()
	w.fault = nil
	w.mu.Unlock()
	w.round()
	if answer.n.Load() != 1 {
		t.Error("it goes on although the key is gone")
	}
}

func TestAnExpiredKeyNeedsNoStore(t *testing.T) {
	w := newWatched()
	key := w.set(1, true, nil)
	key.ExpiresAt = time.Now().Add(-time.Second).UnixMilli()
	request, answer := w.begin(key, 2*ordinaryAge, "")
	defer w.leave(request)
	w.set(1, false, errors.New("down"))
	w.round()
	if answer.n.Load() != 1 {
		t.Error("it goes on past the key's expiry while the store is down")
	}
}

func TestARequestFromOutsideOfTheKeysNetworksIsCutOff(t *testing.T) {
	for network, want := range map[string]int64{"203.0.113.0/24": 0, "198.51.100.0/24": 1} {
		w := newWatched()
		request, answer := w.begin(w.set(1, true, nil), 0, "websocket") // from 203.0.113.7
		sources, faults := keys.ParseSources([]string{network})
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		w.keys[request.key.Digest].Sources = sources
		w.doubt([]keys.Digest{request.key.Digest})
		w.round()
		if got := answer.n.Load(); got != want {
			t.Errorf("limited to %s it was cut off %d times, want %d", network, got, want)
		}
		w.leave(request)
	}
}

func TestASecondHandlerWatchesTheSameRequest(t *testing.T) {
	w := newWatched()
	first, second := w.set(1, true, nil), w.set(2, true, nil)
	who, answer := new(caller), new(cuts)
	r := &http.Request{Header: http.Header{"Upgrade": {"websocket"}}}
	one := w.enter(who, answer, r, &gate.Decision{Key: first, API: "rest", Needs: permission.Read}, "", time.Now())
	two := w.enter(who, answer, r, &gate.Decision{Key: second, API: "rest", Needs: permission.Read}, "", time.Now())
	if one == two {
		t.Fatal("they are one")
	}
	w.set(2, false, nil)
	w.round()
	if answer.n.Load() != 1 {
		t.Error("the second key's end does not count")
	}
	w.leave(two)
	w.leave(one)
}

func TestCuttingOffOneStreamOfHTTP2LeavesTheOthers(t *testing.T) {
	w := newWatched()
	first, second := w.set(1, true, nil), w.set(2, true, nil)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		key := first
		if r.URL.Path == "/second" {
			key = second
		}
		d := gate.Decision{Key: key, API: "rest", Needs: permission.Read}
		request := w.enter(new(caller), answer, r, &d, "", time.Now().Add(-2*ordinaryAge))
		defer w.leave(request)
		if http.NewResponseController(answer).Flush() == nil {
			<-r.Context().Done()
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	open := func(path string) io.ReadCloser {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if answer.ProtoMajor != 2 {
			t.Fatal(answer.Proto)
		}
		return answer.Body
	}
	cut, stays := open("/first"), open("/second")
	defer cut.Close()
	defer stays.Close()
	running, end := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { w.Run(running) })
	w.set(1, false, nil)
	if _, err := cut.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the stream of the key that is gone: %v, want a reset", err)
	}
	end()
	watching.Wait()
	again := open("/second") // on the same connection
	defer again.Close()
	stop()
	if _, err := stays.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("the stream of the other key: %v, want that it went on until the client left", err)
	}
}

func TestRequestsComeAndGoWhileTheyAreJudged(t *testing.T) {
	w := newWatched()
	key := w.set(1, true, nil)
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { w.Run(ctx) })
	for range 8 {
		working.Go(func() {
			for range 500 {
				request, _ := w.begin(key, 2*ordinaryAge, "websocket")
				w.doubtAll()
				w.leave(request)
			}
		})
	}
	working.Go(func() {
		for i := range 200 {
			w.set(1, i%2 == 0, nil)
		}
		stop()
	})
	working.Wait()
}
