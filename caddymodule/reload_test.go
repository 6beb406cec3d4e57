package caddymodule

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// withCache returns the global option with a cache option changed.
func withCache(option string) string {
	return "api_keys {\nstore sqlite {$DIR}/keys.db\ncache {\n" + option + "\n}\n}"
}

// found asks the gateway's own gate where the key of secret is found.
func (s *site) found(secret string) gate.Found {
	s.t.Helper()
	parsed, err := keys.ForeignSecret(secret)
	if err != nil {
		s.t.Fatal(err)
	}
	digest := parsed.Digest()
	_, found, err := s.engine().lookup.Find(s.t.Context(), &digest, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

func TestAReloadKeepsTheCache(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	s.want(200, "GET", "/rest/a", bearer(secret))
	before := s.engine()
	if err := s.load(withCache("ttl 2m"), "respond /never never\n"+standard); err != nil {
		t.Fatal(err)
	}
	if s.engine() != before {
		t.Fatal("another engine is open")
	}
	if got := s.found(secret); got != gate.Hit {
		t.Errorf("after the reload the key is a %s, want a hit", got)
	}
	s.want(200, "GET", "/rest/a", bearer(secret))
}

func TestAReloadAppliesNewOptionsOfTheCache(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	s.want(200, "GET", "/rest/a", bearer(secret))
	if err := s.load(withCache("ttl 0"), standard); err != nil {
		t.Fatal(err)
	}
	if got := s.found(secret); got != gate.Miss {
		t.Errorf("with ttl 0 the key is a %s, want a miss", got)
	}
}

func TestAnotherAddressIsAnotherEngine(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	s.want(200, "GET", "/rest/a", bearer(secret))
	before := s.engine()
	if err := s.load("api_keys {\nstore sqlite {$DIR}/other.db\n}", standard); err != nil {
		t.Fatal(err)
	}
	s.want(401, "GET", "/rest/a", bearer(secret))
	if before.calls.enter() {
		t.Error("the engine of the former address is still open")
	}
}

func TestAFailedReloadChangesNothing(t *testing.T) {
	s := newSite(t, withCache("ttl 1m"), standard)
	_, secret := s.key()
	s.want(200, "GET", "/rest/a", bearer(secret))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	t.Setenv("TAKEN", taken.Addr().String())
	// In either order: the http app may fail to start before or after ours.
	for i := range 6 {
		t.Setenv("ROUND", fmt.Sprint(i))
		err := s.load(withCache("ttl 0"), "respond {$ROUND}\n}\nhttp://{$TAKEN} {\nrespond taken")
		if err == nil {
			t.Fatal("a port that is taken was opened")
		}
		if got := s.found(secret); got != gate.Hit {
			t.Fatalf("after a failed reload the key is a %s, want a hit: its ttl must be as before", got)
		}
		s.want(200, "GET", "/rest/a", bearer(secret))
	}
	if refs, _ := engines.References("sqlite " + filepath.Join(s.dir, "keys.db")); refs != 1 {
		t.Errorf("the engine has %d users, want 1", refs)
	}
}

func TestAConfigurationThatIsRefusedLeavesTheOldOneRunning(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	if err := caddy.Load([]byte(`{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[{"handler":"api_key_auth","apis":[{"name":"B A D"}]}]}]}}}}}`), true); err == nil {
		t.Fatal("it was accepted")
	}
	s.want(200, "GET", "/rest/a", bearer(secret))
}

func TestAStoreThatCanNotBeOpenedFailsTheLoad(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	if err := os.WriteFile(filepath.Join(s.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := s.load("api_keys {\nstore sqlite {$DIR}/file/keys.db\n}", standard)
	if err == nil || !strings.Contains(err.Error(), "opening sqlite store") {
		t.Errorf("%v", err)
	}
	s.want(200, "GET", "/rest/a", bearer(secret))
}

// TestReloadsUnderLoadDropNoRequest keeps 200 requests in flight while the
// configuration changes again and again. Between two reloads each client gets
// answers: what the kernel does with connections that nobody has accepted when
// a listener closes is not ours to test.
func TestReloadsUnderLoadDropNoRequest(t *testing.T) {
	s := newSite(t, "", standard)
	s.upstream.answer = func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond) // a slow upstream, not a wait of the test
		fmt.Fprint(w, "ok")
	}
	_, secret := s.key()
	load := newClients(s, secret, 200)
	before := s.engine()
	for i := range 10 {
		load.settle(2)
		if err := s.load(withCache(fmt.Sprintf("ttl %dm", i+1)), fmt.Sprintf("respond /%d never\n", i)+standard); err != nil {
			t.Error(err)
		}
	}
	load.settle(2)
	load.stop()
	if s.engine() != before {
		t.Error("the engine was closed and opened again")
	}
}

// clients send requests, each the next when the last is answered.
type clients struct {
	site     *site
	secret   string
	client   *http.Client
	done     atomic.Bool
	working  sync.WaitGroup
	mu       sync.Mutex
	changed  *sync.Cond
	answered []int
	failed   bool
}

func newClients(s *site, secret string, n int) *clients {
	c := &clients{site: s, secret: secret, answered: make([]int, n)}
	c.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	c.changed = sync.NewCond(&c.mu)
	for i := range n {
		c.working.Go(func() {
			for !c.done.Load() {
				err := c.one()
				c.mu.Lock()
				c.answered[i]++
				c.failed = c.failed || err != nil
				c.changed.Broadcast()
				c.mu.Unlock()
				if err != nil {
					s.t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
	return c
}

func (c *clients) one() error {
	r, err := http.NewRequestWithContext(c.site.t.Context(), "GET", "http://"+c.site.address+"/rest/a", nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-API-Key", c.secret)
	answer, err := c.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != 200 || string(text) != "ok") {
		err = fmt.Errorf("answered with %d %s", answer.StatusCode, text)
	}
	return err
}

// settle waits until each client has had n more answers.
func (c *clients) settle(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := make([]int, len(c.answered))
	for i := range want {
		want[i] = c.answered[i] + n
	}
	for i := range want {
		for c.answered[i] < want[i] && !c.failed {
			c.changed.Wait()
		}
	}
}

func (c *clients) stop() {
	c.done.Store(true)
	c.working.Wait()
	c.client.CloseIdleConnections()
}

func TestRequestsWaitForTheStart(t *testing.T) {
	app := &App{settled: make(chan struct{})}
	answered := make(chan *engine)
	go func() { answered <- app.ready(t.Context()) }()
	e := new(engine)
	app.running.Store(e)
	app.settle.Do(func() { close(app.settled) })
	if got := <-answered; got != e {
		t.Error("the request went on without the engine")
	}
}

func TestRequestsOfAFailedStartAreUnavailable(t *testing.T) {
	app := &App{settled: make(chan struct{})}
	if err := app.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if app.ready(t.Context()) != nil {
		t.Error("there is an engine without a start")
	}
	h := &Auth{app: app, realm: "api", apis: map[string]*apiRecord{"": {name: ""}}}
	checkUnavailable(t, h)
}

func TestCleanupIsHarmlessAtAnyTime(t *testing.T) {
	for _, app := range []*App{{}, {settled: make(chan struct{})}} {
		for range 2 {
			if err := app.Cleanup(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAnEngineWaitsForCallsUnderWay(t *testing.T) {
	var c calls
	if !c.enter() {
		t.Fatal("an open engine refuses a call")
	}
	drained := make(chan bool)
	go func() { drained <- c.close(time.Minute) }()
	for c.enter() { // until close has begun
		c.leave()
	}
	select {
	case <-drained:
		t.Fatal("it closed with a call under way")
	default:
	}
	c.leave()
	if !<-drained {
		t.Error("it did not see the call end")
	}
}

func TestAnEngineWaitsOnlySoLong(t *testing.T) {
	var c calls
	c.enter()
	if c.close(time.Millisecond) {
		t.Error("it says that all calls have ended")
	}
}

func TestUseIsWrittenDownWhenTheEngineCloses(t *testing.T) {
	s := newSite(t, "", standard)
	k, secret := s.key()
	s.want(200, "GET", "/rest/a", bearer(secret))
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	// A fresh gateway on the same file sees it.
	if err := s.load("", standard); err != nil {
		t.Fatal(err)
	}
	stored, err := s.engine().store.Get(t.Context(), k.ID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if time.Since(stored.LastUsedAt) > time.Minute {
		t.Errorf("last used at %v", stored.LastUsedAt)
	}
}

func TestTheYoungestUserOfAnEngineDecides(t *testing.T) {
	s := newSite(t, "", standard)
	e := s.engine()
	_, secret := s.key()
	s.want(200, "GET", "/rest/a", bearer(secret))
	young := new(App)
	e.use(young, gate.LookupOptions{MaxKeys: 10}, "", time.Hour, zap.NewNop())
	if got := s.found(secret); got != gate.Miss {
		t.Errorf("with the younger one's options it is a %s", got)
	}
	e.drop(young)
	if got := s.found(secret); got != gate.Hit {
		t.Errorf("with the former options it is a %s", got)
	}
}
