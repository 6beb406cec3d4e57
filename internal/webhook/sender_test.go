package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

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
		due, err := w.store.Due(t.Context(), changed.ID())
		return err == nil && due == keys.Due{}
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

// failing is a real store whose calls fail as its test wants.
type failing struct {
	keys.Outbox
	fails func(call string) error
}

func (f failing) Subscribe(ctx context.Context, webhook string, since time.Time) error {
	if err := f.fails("subscribe"); err != nil {
		return err
	}
	return f.Outbox.Subscribe(ctx, webhook, since)
}

func (f failing) Due(ctx context.Context, webhook string) (keys.Due, error) {
	if err := f.fails("due"); err != nil {
		return keys.Due{}, err
	}
	return f.Outbox.Due(ctx, webhook)
}

func (f failing) Enqueue(ctx context.Context, webhook string, events map[string]string, oldest time.Time) (bool, error) {
	if err := f.fails("enqueue"); err != nil {
		return false, err
	}
	return f.Outbox.Enqueue(ctx, webhook, events, oldest)
}

func (f failing) Claim(ctx context.Context, webhook string, lease time.Duration, limit int) ([]keys.Delivery, error) {
	if err := f.fails("claim"); err != nil {
		return nil, err
	}
	return f.Outbox.Claim(ctx, webhook, lease, limit)
}

func TestAStoreThatFailsIsAskedAgainAndEachFaultReported(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	w.create("create", "a")
	fault := errors.New("the store is down")
	var mu sync.Mutex
	failed := map[string]bool{}
	s := New(failing{w.store, func(call string) error { // each call fails the first time
		mu.Lock()
		defer mu.Unlock()
		if failed[call] {
			return nil
		}
		failed[call] = true
		return fault
	}})
	s.Configure([]Endpoint{r.endpoint()}, w.began)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var reports int
	go func() {
		defer close(done)
		s.Run(ctx, func(err error) {
			if !errors.Is(err, fault) {
				t.Errorf("the fault is %v", err)
			}
			reports++
			s.Wake() // a change comes, so that nobody need wait for the next look
		})
	}()
	r.next()
	w.delivery(is(keys.Delivered))
	cancel()
	<-done
	if reports != 4 {
		t.Errorf("%d faults were reported, want 4", reports)
	}
}

func TestAMessageThatCouldNotBeSettledComesAgainWhenItsLeaseIsOver(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	w.create("create", "a")
	s, _ := w.start(nil)
	e := r.endpoint()
	if err := w.store.Subscribe(t.Context(), e.ID(), w.began); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Enqueue(t.Context(), e.ID(), e.actions(), w.began); err != nil {
		t.Fatal(err)
	}
	// A gateway claimed it and was gone before it wrote down what became of it.
	lost, err := w.store.Claim(t.Context(), e.ID(), time.Second, 1)
	if err != nil || len(lost) != 1 {
		t.Fatalf("claimed %v, %v", lost, err)
	}
	s.Configure([]Endpoint{e}, w.began)
	if got := r.next(); got.ID != lost[0].ID {
		t.Errorf("message %s, want %s", got.ID, lost[0].ID)
	}
	if d := w.delivery(is(keys.Delivered)); d.Attempts != 2 {
		t.Errorf("delivery %+v", d)
	}
}
