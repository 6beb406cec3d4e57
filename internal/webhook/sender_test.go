package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestAReceiverIsToldWhatHappensToKeysInOrder(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	s, _ := w.start(nil, r.endpoint())
	k := w.create("create", "a")[0]
	s.Wake()
	id, ctx := k.Key.ID, t.Context()
	want := func(event, action, prefix string) {
		t.Helper()
		s.Wake()
		got := r.next().Body
		if d := time.Since(got.Timestamp); d < 0 || d > time.Hour {
			t.Errorf("it happened at %s", got.Timestamp)
		}
		got.Timestamp = time.Time{}
		if diff := cmp.Diff(message{Type: event, Data: data{id, prefix, "team-7", "key_admin", action}}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", action, diff)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want("api_key_created", "create", k.Key.Prefix)
	_, err := w.store.Update(ctx, w.by(), id, keys.Guard{}, func(k *keys.Key) error { k.Name = "b"; return nil })
	must(err)
	want("api_key_updated", "update", k.Key.Prefix)
	_, err = w.store.Update(ctx, w.by(), id, keys.Guard{}, func(k *keys.Key) error { k.Enabled = false; return nil })
	must(err)
	want("api_key_updated", "disable", k.Key.Prefix)
	next, err := keys.NewSecret("kw", nil)
	must(err)
	_, err = w.store.Rotate(ctx, w.by(), id, keys.Guard{}, next.Digest(), next.Prefix(), time.Now())
	must(err)
	want("api_key_updated", "rotate", next.Prefix())
	must(w.store.PutEndpoint(ctx, w.by(), keys.Endpoint{API: "api", ID: "e"}))
	_, err = w.store.Update(ctx, w.by(), id, keys.Guard{}, func(k *keys.Key) error { k.Enabled = true; return nil })
	must(err)
	want("api_key_updated", "enable", next.Prefix())
	_, _, err = w.store.Leaked(ctx, w.by(), next.Digest(), keys.FoundAt{Source: "github"})
	must(err)
	want("api_key_leaked", "leak", next.Prefix())
	must(w.store.Delete(ctx, w.by(), id, keys.Guard{}))
	want("api_key_deleted", "delete", next.Prefix())
}

func TestAnEndpointHearsOfItsEventsAlone(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	k := w.create("create", "a")[0]
	if err := w.store.Delete(t.Context(), w.by(), k.Key.ID, keys.Guard{}); err != nil {
		t.Fatal(err)
	}
	w.start(nil, r.endpoint(func(e *Endpoint) { e.Events = []string{keys.EventDeleted} }))
	if got := r.next(); got.Body.Type != keys.EventDeleted {
		t.Errorf("told of %+v", got)
	}
	w.delivery(is(keys.Delivered))
	r.none()
}

func TestWhatIsNotTakenIsSentAgainAsTheSameMessage(t *testing.T) {
	w := newWorld(t)
	strayed := newReceiver(t)
	r := newReceiver(t, status(500), func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strayed.URL, http.StatusTemporaryRedirect)
	}, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			err = c.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}, status(404))
	var mu sync.Mutex
	var said []string
	w.create("create", "a")
	w.start(func(s *Sender) {
		s.Observe = func(_ *Endpoint, d *keys.Delivery, r keys.DeliveryResult) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf("%d %s %d %s", d.Attempts, r.State, r.Status, r.Error))
		}
	}, r.endpoint())
	ids := map[string]bool{}
	for range 5 {
		ids[r.next().ID] = true
	}
	d := w.delivery(is(keys.Delivered))
	if len(ids) != 1 || !ids[d.ID] || d.Attempts != 5 || d.LastStatus != 204 || d.LastError != "" {
		t.Errorf("messages %v, delivery %+v", ids, d)
	}
	strayed.none()
	mu.Lock()
	defer mu.Unlock()
	want := []string{
		"1 pending 500 answered 500; expected 200 to 299", "2 pending 307 answered 307: redirects are not followed",
		"3 pending 0 EOF", "4 pending 404 answered 404; expected 200 to 299", "5 delivered 204 ",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func TestAReceiverThatSaysNothingIsToldAgain(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t, hang)
	first := make(chan keys.DeliveryResult, 1)
	w.create("create", "a")
	w.start(func(s *Sender) {
		s.Observe = func(_ *Endpoint, d *keys.Delivery, r keys.DeliveryResult) {
			if d.Attempts == 1 {
				first <- r
			}
		}
	}, r.endpoint(func(e *Endpoint) { e.Timeout = time.Second }))
	if r := <-first; r.State != keys.Pending || r.Status != 0 || r.Error != "no answer within 1s" {
		t.Errorf("the first attempt ended as %+v", r)
	}
	w.delivery(is(keys.Delivered))
}

func TestAMessageIsGivenUpAfterTheLastAttemptOrWhenItIsNotWanted(t *testing.T) {
	for code, attempts := range map[int]int{500: 10, 410: 1} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			w := newWorld(t)
			answers := make([]http.HandlerFunc, attempts)
			for i := range answers {
				answers[i] = status(code)
			}
			r := newReceiver(t, answers...)
			w.create("create", "a")
			s, _ := w.start(nil, r.endpoint())
			d := w.delivery(is(keys.Failed))
			if d.Attempts != attempts || d.LastStatus != code || !strings.Contains(d.LastError, fmt.Sprint("answered ", code)) {
				t.Errorf("delivery %+v", d)
			}
			for range attempts {
				r.next()
			}
			r.none()
			// An operator may have it sent once more.
			if _, err := w.store.Redeliver(t.Context(), d.ID); err != nil {
				t.Fatal(err)
			}
			s.Wake()
			if got := r.next(); got.ID != d.ID {
				t.Errorf("message %s, want %s", got.ID, d.ID)
			}
			w.delivery(is(keys.Delivered))
		})
	}
}

func TestAReceiverIsNotAskedAgainBeforeItSaid(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	w.create("create", "a")
	w.start(nil, r.endpoint())
	d := w.delivery(func(d keys.Delivery) bool { return d.LastStatus == 429 })
	if wait := d.NextAt.Sub(d.LastAt); d.State != keys.Pending || wait < 2*time.Hour || wait > 3*time.Hour {
		t.Errorf("again after %s: %+v", wait, d)
	}
}

func TestAReceiverThatHangsHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	stuck, r := newReceiver(t, hang, hang, hang), newReceiver(t)
	ks := w.create("create", "a", "b", "c")
	w.start(nil, stuck.endpoint(), r.endpoint())
	for range ks {
		stuck.next()
		r.next()
	}
}

func TestAnAnswerThatDoesNotEndCountsByItsHead(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusOK)
		for req.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	w.create("create", "a")
	w.start(nil, r.endpoint())
	if d := w.delivery(is(keys.Delivered)); d.Attempts != 1 {
		t.Errorf("delivery %+v", d)
	}
}

func TestSeveralGatewaysSendEachMessageOnce(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	for range 3 {
		w.start(nil, r.endpoint())
	}
	names := make([]string, 50)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	w.create("import", names...)
	ids := map[string]bool{}
	for range names {
		m := r.next()
		if ids[m.ID] {
			t.Errorf("%s came twice", m.ID)
		}
		ids[m.ID] = true
	}
	r.none()
}

func TestWhatAStoppedGatewayWasSendingIsSentByTheNext(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t, hang)
	w.create("create", "a")
	_, stop := w.start(nil, r.endpoint())
	first := r.next()
	stop()
	d := w.delivery(is(keys.Pending))
	if d.LastError != "the gateway stopped during the attempt" || d.Attempts != 1 {
		t.Errorf("delivery %+v", d)
	}
	w.start(nil, r.endpoint())
	if second := r.next(); cmp.Diff(first, second) != "" {
		t.Errorf("messages differ (-first +second):\n%s", cmp.Diff(first, second))
	}
	w.delivery(is(keys.Delivered))
}

func TestAConfigurationTakesEffectOnWhatIsSentNext(t *testing.T) {
	w := newWorld(t)
	former, r := newReceiver(t), newReceiver(t)
	changed := r.endpoint()
	s, _ := w.start(nil, former.endpoint(), r.endpoint(func(e *Endpoint) {
		e.Secrets, e.Events = []Secret{mustSecret(t, otherSecret)}, []string{keys.EventLeaked}
	}))
	w.create("create", "a")
	s.Wake()
	former.next()
	// The other one does not want to hear of it, and has seen that there is nothing else.
	w.until("the second endpoint has looked", func() bool {
		_, waits, err := w.store.Due(t.Context(), changed.ID())
		return err == nil && !waits
	})
	s.Configure([]Endpoint{changed}, time.Now().Add(time.Hour))
	w.until("the configuration has taken effect", func() bool { return len(*s.lines.Load()) == 1 })
	b := w.create("create", "b")[0]
	s.Wake()
	// The receiver fails on what is signed with the former secret.
	if got := r.next(); got.Body.Data.Key != b.Key.ID {
		t.Errorf("told of %+v, want %s", got, b.Key.ID)
	}
	former.none()
}

func TestFaultsDoNotShowTheURL(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	r.Close()
	w.create("create", "a")
	w.start(nil, r.endpoint())
	d := w.delivery(is(keys.Failed))
	if d.LastError == "" || strings.Contains(d.LastError, "T0ken") {
		t.Errorf("the error is %q", d.LastError)
	}
}

func TestAnEntryThatCannotBeReadIsAFaultAndNoMessage(t *testing.T) {
	if _, err := body(&keys.Delivery{Entry: keys.AuditEntry{ID: "aud_1", After: json.RawMessage("{")}}); err == nil || !strings.Contains(err.Error(), "aud_1") {
		t.Errorf("error %v", err)
	}
	text, err := body(&keys.Delivery{Event: "e", Entry: keys.AuditEntry{Key: "key_1", Action: "delete", Before: json.RawMessage(`{"owner": "ü<", "prefix": "kw_1"}`)}})
	want := `{"type":"e","timestamp":"0001-01-01T00:00:00Z","data":{"key":"key_1","prefix":"kw_1","owner":"ü\u003c","actor":"","action":"delete"}}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}
