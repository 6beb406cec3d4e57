package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlite"
)

// patience is how long tests wait for what must come, on a machine that is busy.
const patience = 30 * time.Second

// world is a store and what happens in it.
type world struct {
	*testing.T
	store keys.Store
	path  string
	began time.Time
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, path: filepath.Join(t.TempDir(), "keys.db"), began: time.Now()}
	w.store = w.open(keys.Options{})
	return w
}

func (w *world) open(o keys.Options) keys.Store {
	w.Helper()
	store, err := sqlite.Open(w.Context(), w.path, o)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := store.Close(); err != nil {
			w.Error(err)
		}
	})
	return store
}

func (w *world) by() keys.By { return keys.By{Actor: "key_admin", IP: "192.0.2.1", At: time.Now()} }

// create creates keys in one change.
func (w *world) create(action string, names ...string) []keys.New {
	w.Helper()
	ks := make([]keys.New, len(names))
	for i, name := range names {
		secret, err := keys.NewSecret("kw", nil)
		if err != nil {
			w.Fatal(err)
		}
		ks[i] = keys.New{Digest: secret.Digest(), Key: keys.Key{
			ID: keys.NewID(), Name: name, Owner: "team-7", Prefix: secret.Prefix(), Permissions: permission.Set{Mode: permission.All},
			Enabled: true, CreatedAt: w.began, UpdatedAt: w.began,
		}}
	}
	if err := w.store.Create(w.Context(), w.by(), action, ks); err != nil {
		w.Fatal(err)
	}
	return ks
}

// start runs a sender over a store of its own, as another gateway would, until
// the returned function is called.
func (w *world) start(edit func(*Sender), endpoints ...Endpoint) (*Sender, func()) {
	w.Helper()
	s := New(w.open(keys.Options{}))
	s.schedule = make([]time.Duration, len(standardSchedule)) // all at once
	if edit != nil {
		edit(s)
	}
	s.Configure(endpoints, w.began)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, func(err error) { w.Logf("the store: %v; it is asked again", err) })
	}()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	w.Cleanup(stop)
	return s, stop
}

// delivery waits until the only delivery is as it is wanted.
func (w *world) delivery(wanted func(d keys.Delivery) bool) keys.Delivery {
	w.Helper()
	var page []keys.Delivery
	w.until("the delivery is as wanted", func() bool {
		var err error
		if page, _, err = w.store.Deliveries(w.Context(), keys.DeliveryQuery{}); err != nil {
			w.Fatal(err)
		}
		return len(page) == 1 && wanted(page[0])
	})
	return page[0]
}

// until waits for what must come about.
func (w *world) until(what string, done func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !done(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("it does not come about that %s", what)
		}
	}
}

func is(state keys.DeliveryState) func(keys.Delivery) bool {
	return func(d keys.Delivery) bool { return d.State == state }
}

// received is a message that a receiver has verified.
type received struct {
	ID   string
	Body message
}

// receiver is a server that verifies what it gets, and answers as its test
// wants: the first requests by the answers, the others 204.
type receiver struct {
	*httptest.Server
	t        *testing.T
	messages chan received
}

func newReceiver(t *testing.T, answers ...http.HandlerFunc) *receiver {
	r := &receiver{t: t, messages: make(chan received, 1000)}
	verifier, err := standardwebhooks.NewWebhook(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, err := io.ReadAll(req.Body)
		var body message
		if err := errors.Join(err, verifier.Verify(text, req.Header), json.Unmarshal(text, &body)); err != nil {
			t.Errorf("the receiver got %q with %v: %v", text, req.Header, err)
		}
		if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the receiver got %s with %v", req.Method, req.Header)
		}
		mu.Lock()
		i := n
		n++
		mu.Unlock()
		r.messages <- received{req.Header.Get("Webhook-Id"), body}
		if i < len(answers) {
			answers[i](w, req)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) endpoint(edits ...func(*Endpoint)) Endpoint {
	r.t.Helper()
	u, err := ParseURL(r.URL+"/T0ken", false)
	if err != nil {
		r.t.Fatal(err)
	}
	e := Endpoint{URL: u, Secrets: []Secret{mustSecret(r.t, testSecret)}, Events: keys.ChangeEvents, Timeout: patience}
	for _, edit := range edits {
		edit(&e)
	}
	return e
}

func (r *receiver) next() received {
	r.t.Helper()
	select {
	case m := <-r.messages:
		return m
	case <-time.After(patience):
		r.t.Fatal("no message came")
		return received{}
	}
}

// none fails if a message has come.
func (r *receiver) none() {
	r.t.Helper()
	select {
	case m := <-r.messages:
		r.t.Fatalf("a message came: %+v", m)
	default:
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hang answers nothing until whoever asks gives up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
