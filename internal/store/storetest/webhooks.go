package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

var webhookTests = map[string]func(*suite){
	"what is in the audit since then is queued, once":         webhookQueued,
	"what was in the audit before is not":                     webhookSince,
	"a webhook that is subscribed again keeps its place":      webhookAgain,
	"a webhook that is not known is told of nothing":          webhookUnknown,
	"what nobody wants to hear of is passed over":             webhookUnwanted,
	"an import is queued whole":                               webhookImport,
	"each webhook has a message of its own":                   webhookOwnID,
	"a delivery is claimed with what it tells of":             webhookClaim,
	"a lease that has ended gives the delivery back":          webhookLease,
	"an attempt whose lease has ended settles nothing":        webhookFence,
	"an attempt that failed is due again after its time":      webhookRetry,
	"several attempts are settled together":                   webhookTogether,
	"what has come to its end is not claimed again":           webhookEnd,
	"what has come to its end can be sent again":              webhookRedeliver,
	"what is being sent is not sent again at once":            webhookRedeliverLeased,
	"it is known when there is something to do":               webhookDue,
	"many nodes at once queue and claim each delivery once":   webhookConcurrent,
	"deliveries are listed newest first, in pages, by filter": webhookList,
	"old deliveries are forgotten, and others not":            webhookPrune,
	"hostile texts are only text":                             webhookHostile,
	"deliveries are no change":                                webhookNoChange,
	"deliveries outlive the store's closing":                  webhookReopen,
}

// heard is what the webhooks of these tests want to hear of.
var heard = map[string]string{"create": "made", "import": "made", "update": "edited", "disable": "edited", "delete": "gone"}

func (s *suite) subscribe(webhook string) {
	s.Helper()
	s.must(s.Subscribe(s.Context(), webhook, start))
}

// enqueue queues all that there is, and returns how often it had to be asked.
func (s *suite) enqueue(webhook string) (times int) {
	s.Helper()
	for more := true; more; times++ {
		var err error
		more, err = s.Enqueue(s.Context(), webhook, heard, start.Add(-time.Hour))
		s.must(err)
	}
	return times
}

func (s *suite) claim(webhook string, lease time.Duration, limit int) []keys.Delivery {
	s.Helper()
	claimed, err := s.Claim(s.Context(), webhook, lease, limit)
	s.must(err)
	return claimed
}

func (s *suite) deliveries(q keys.DeliveryQuery) []keys.Delivery {
	s.Helper()
	page, _, err := s.Deliveries(s.Context(), q)
	s.must(err)
	return page
}

func (s *suite) settle(d *keys.Delivery, r keys.DeliveryResult) {
	s.Helper()
	s.must(s.Settle(s.Context(), keys.Settled{Delivery: d, Result: r}))
}

// toldOf returns what deliveries tell, oldest first.
func toldOf(all []keys.Delivery) (out []string) {
	for _, d := range slices.Backward(all) {
		out = append(out, fmt.Sprintf("%s %s", d.Event, d.Entry.Action))
	}
	return out
}

// one makes a webhook with one delivery that is due.
func (s *suite) one() keys.Delivery {
	s.Helper()
	s.subscribe("wh_a")
	s.created("a")
	s.enqueue("wh_a")
	return s.deliveries(keys.DeliveryQuery{})[0]
}

func webhookQueued(s *suite) {
	s.subscribe("wh_a")
	k := s.created("a")
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name = "b" })
	s.enqueue("wh_a")
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	s.enqueue("wh_a")
	s.enqueue("wh_a")
	all := s.deliveries(keys.DeliveryQuery{})
	s.equal("told", toldOf(all), []string{"made create", "edited update", "gone delete"})
	entries := s.state().Audit
	for i, d := range all {
		want := entries[i]
		want.Before, want.After = nil, nil
		s.equal("entry", d.Entry, want)
		if d.State != keys.Pending || d.Attempts != 0 || !d.LastAt.IsZero() || d.NextAt.IsZero() || d.Webhook != "wh_a" {
			s.Fatalf("delivery %+v", d)
		}
	}
}

func webhookSince(s *suite) {
	s.created("before")
	s.must(s.Subscribe(s.Context(), "wh_a", start.Add(time.Minute)))
	s.must(s.Create(s.Context(), by(start.Add(2*time.Minute)), "create", []keys.New{newKey("after")}))
	s.enqueue("wh_a")
	s.equal("told", len(s.deliveries(keys.DeliveryQuery{})), 1)
	// What is too old when it is looked at is not told any more.
	_, err := s.Enqueue(s.Context(), "wh_a", heard, start)
	s.must(err)
	s.created("late")
	_, err = s.Enqueue(s.Context(), "wh_a", heard, start.Add(time.Hour))
	s.must(err)
	s.equal("told", len(s.deliveries(keys.DeliveryQuery{})), 1)
}

func webhookAgain(s *suite) {
	s.subscribe("wh_a")
	s.created("a")
	s.must(s.Subscribe(s.Context(), "wh_a", start.Add(time.Hour)))
	s.enqueue("wh_a")
	s.equal("told", len(s.deliveries(keys.DeliveryQuery{})), 1)
}

func webhookUnknown(s *suite) {
	s.created("a")
	_, err := s.Enqueue(s.Context(), "wh_a", heard, start)
	s.mustBe(err, keys.ErrNoSuchWebhook)
	_, err = s.Due(s.Context(), "wh_a")
	s.mustBe(err, keys.ErrNoSuchWebhook)
	s.equal("claimed", s.claim("wh_a", time.Minute, 10), []keys.Delivery{})
	_, err = s.Redeliver(s.Context(), "msg_none")
	s.mustBe(err, keys.ErrNoSuchDelivery)
}

func webhookUnwanted(s *suite) {
	s.subscribe("wh_a")
	s.must(s.PutEndpoint(s.Context(), by(start), keys.Endpoint{API: "api", ID: "e"}))
	s.enqueue("wh_a")
	s.equal("told", s.deliveries(keys.DeliveryQuery{}), []keys.Delivery{})
	s.equal("due", s.due("wh_a"), keys.Due{})
}

func webhookImport(s *suite) {
	s.subscribe("wh_a")
	ks := make([]keys.New, 2001)
	for i := range ks {
		ks[i] = newKey(fmt.Sprint(i))
	}
	s.must(s.Create(s.Context(), by(start), "import", ks))
	s.equal("asked", s.enqueue("wh_a"), 3)
	ids := map[string]bool{}
	for q := (keys.DeliveryQuery{Limit: 200}); ; {
		page, next, err := s.Deliveries(s.Context(), q)
		s.must(err)
		for _, d := range page {
			ids[d.ID] = true
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	s.equal("messages", len(ids), len(ks))
}

func webhookOwnID(s *suite) {
	d := s.one()
	s.subscribe("wh_b")
	s.enqueue("wh_b")
	other := s.deliveries(keys.DeliveryQuery{Webhook: "wh_b"})
	if len(other) != 1 || other[0].ID == d.ID || other[0].Entry.ID != d.Entry.ID {
		s.Fatalf("of %+v another webhook hears %+v", d, other)
	}
}

func webhookClaim(s *suite) {
	d := s.one()
	claimed := s.claim("wh_a", time.Hour, 10)
	s.equal("claimed", len(claimed), 1)
	got := claimed[0]
	s.equal("entry", got.Entry, s.state().Audit[0])
	s.equal("delivery", []any{got.ID, got.Webhook, got.Event, got.State, got.Attempts}, []any{d.ID, "wh_a", "made", keys.Pending, 1})
	if got.LastAt.IsZero() || got.NextAt.Sub(got.LastAt) != time.Hour {
		s.Fatalf("begun at %s, again at %s", got.LastAt, got.NextAt)
	}
	s.equal("claimed again", s.claim("wh_a", time.Hour, 10), []keys.Delivery{})
	s.equal("claimed for another", s.claim("wh_b", time.Hour, 10), []keys.Delivery{})
	s.settle(&got, keys.DeliveryResult{State: keys.Delivered, Status: 204})
	after := s.deliveries(keys.DeliveryQuery{})[0]
	s.equal("settled", []any{after.State, after.Attempts, after.LastStatus, after.LastError, after.NextAt.IsZero()}, []any{keys.Delivered, 1, 204, "", true})
}

func webhookLease(s *suite) {
	s.one()
	first := s.claim("wh_a", 0, 10)
	second := s.claim("wh_a", 0, 10)
	s.equal("attempts", []int{first[0].Attempts, second[0].Attempts}, []int{1, 2})
	s.equal("message", first[0].ID, second[0].ID)
}

func webhookFence(s *suite) {
	s.one()
	late := s.claim("wh_a", 0, 1)[0]
	current := s.claim("wh_a", time.Hour, 1)[0]
	s.settle(&late, keys.DeliveryResult{State: keys.Failed, Status: 500, Error: "late"})
	got := s.deliveries(keys.DeliveryQuery{})[0]
	s.equal("after the late one", []any{got.State, got.LastStatus, got.LastError}, []any{keys.Pending, 0, ""})
	s.settle(&current, keys.DeliveryResult{State: keys.Delivered, Status: 200})
	s.settle(&current, keys.DeliveryResult{State: keys.Failed, Status: 500})
	s.equal("state", s.deliveries(keys.DeliveryQuery{})[0].State, keys.Delivered)
}

func webhookRetry(s *suite) {
	s.one()
	d := s.claim("wh_a", time.Hour, 1)[0]
	s.settle(&d, keys.DeliveryResult{State: keys.Pending, Status: 503, Error: "answered 503", After: 30 * time.Minute})
	got := s.deliveries(keys.DeliveryQuery{})[0]
	s.equal("settled", []any{got.State, got.Attempts, got.LastStatus, got.LastError}, []any{keys.Pending, 1, 503, "answered 503"})
	if wait := got.NextAt.Sub(got.LastAt); wait < 30*time.Minute || wait > 35*time.Minute {
		s.Fatalf("again after %s", wait)
	}
	s.equal("claimed", s.claim("wh_a", time.Hour, 1), []keys.Delivery{})
	_, err := s.Redeliver(s.Context(), d.ID)
	s.must(err)
	d = s.claim("wh_a", time.Hour, 1)[0]
	s.settle(&d, keys.DeliveryResult{State: keys.Pending})
	s.equal("attempts", s.claim("wh_a", time.Hour, 1)[0].Attempts, 3)
}

func webhookEnd(s *suite) {
	for i, state := range []keys.DeliveryState{keys.Delivered, keys.Failed} {
		webhook := fmt.Sprint("wh_", i)
		s.subscribe(webhook)
		s.created("a")
		s.enqueue(webhook)
		for _, d := range s.claim(webhook, 0, 10) {
			s.settle(&d, keys.DeliveryResult{State: state, Status: 200 + i})
		}
		s.equal("claimed", s.claim(webhook, 0, 10), []keys.Delivery{})
		s.equal("due", s.due(webhook), keys.Due{})
	}
}

func webhookRedeliver(s *suite) {
	for _, state := range []keys.DeliveryState{keys.Delivered, keys.Failed, keys.Pending} {
		s.subscribe("wh_a")
		s.created("a")
		s.enqueue("wh_a")
		d := s.claim("wh_a", time.Hour, 1)[0]
		s.settle(&d, keys.DeliveryResult{State: state, Status: 500, Error: "x", After: time.Hour})
		again, err := s.Redeliver(s.Context(), d.ID)
		s.must(err)
		s.equal("again", []any{again.ID, again.State, again.Attempts, again.LastStatus, again.Entry.Action}, []any{d.ID, keys.Pending, 1, 500, "create"})
		d = s.claim("wh_a", time.Hour, 1)[0]
		s.equal("claimed", []any{d.ID, d.Attempts}, []any{again.ID, 2})
		s.settle(&d, keys.DeliveryResult{State: keys.Delivered, Status: 200})
	}
}

func webhookRedeliverLeased(s *suite) {
	s.one()
	d := s.claim("wh_a", time.Hour, 1)[0]
	again, err := s.Redeliver(s.Context(), d.ID)
	s.must(err)
	s.equal("state", []any{again.State, again.NextAt}, []any{keys.Pending, d.NextAt})
	s.equal("claimed", s.claim("wh_a", time.Hour, 1), []keys.Delivery{})
}

func (s *suite) due(webhook string) keys.Due {
	s.Helper()
	due, err := s.Due(s.Context(), webhook)
	s.must(err)
	return due
}

func webhookDue(s *suite) {
	s.subscribe("wh_a")
	s.equal("nothing", s.due("wh_a"), keys.Due{})
	s.created("a")
	s.equal("behind", s.due("wh_a"), keys.Due{Behind: true})
	s.enqueue("wh_a")
	s.equal("due", s.due("wh_a"), keys.Due{Waits: true})
	d := s.claim("wh_a", time.Hour, 1)[0]
	if due := s.due("wh_a"); due.Behind || !due.Waits || due.After <= 50*time.Minute || due.After > time.Hour {
		s.Fatalf("leased: %+v", due)
	}
	s.settle(&d, keys.DeliveryResult{State: keys.Delivered})
	s.equal("nothing", s.due("wh_a"), keys.Due{})
}

func webhookTogether(s *suite) {
	s.subscribe("wh_a")
	for range 3 {
		s.created("a")
	}
	s.enqueue("wh_a")
	late := s.claim("wh_a", 0, 1)[0]
	claimed := s.claim("wh_a", time.Hour, 3)
	s.must(s.Settle(s.Context()))
	s.must(s.Settle(s.Context(),
		keys.Settled{Delivery: &late, Result: keys.DeliveryResult{State: keys.Failed}},
		keys.Settled{Delivery: &claimed[1], Result: keys.DeliveryResult{State: keys.Delivered, Status: 200}},
		keys.Settled{Delivery: &claimed[2], Result: keys.DeliveryResult{State: keys.Failed, Status: 410}}))
	var states []keys.DeliveryState
	for _, d := range slices.Backward(s.deliveries(keys.DeliveryQuery{})) {
		states = append(states, d.State)
	}
	s.equal("states", states, []keys.DeliveryState{keys.Pending, keys.Delivered, keys.Failed})
}

func webhookConcurrent(s *suite) {
	s.subscribe("wh_a")
	const all, nodes = 30, 3
	ks := make([]keys.New, all)
	for i := range ks {
		ks[i] = newKey(fmt.Sprint(i))
	}
	s.create(ks...)
	var (
		mu      sync.Mutex
		claimed = map[string]int{}
		work    sync.WaitGroup
	)
	deadline := time.Now().Add(2 * time.Minute)
	for range nodes {
		store := s.handle(keys.Options{})
		work.Go(func() {
			for done := false; !done; {
				// As a gateway does: what a busy store refused is asked again.
				_, err := store.Enqueue(s.Context(), "wh_a", heard, start.Add(-time.Hour))
				some, err2 := store.Claim(s.Context(), "wh_a", time.Hour, 10)
				mu.Lock()
				for _, d := range some {
					claimed[d.ID]++
				}
				done = len(claimed) == all
				mu.Unlock()
				if time.Now().After(deadline) {
					s.Errorf("the deliveries were not all claimed: %v", errors.Join(err, err2))
					return
				}
			}
		})
	}
	work.Wait()
	for id, times := range claimed {
		if times != 1 {
			s.Errorf("%s was claimed %d times", id, times)
		}
	}
	s.equal("deliveries", len(claimed), all)
}

func webhookList(s *suite) {
	s.subscribe("wh_a")
	s.subscribe("wh_b")
	a := s.created("a")
	b := s.created("b")
	s.must(s.Delete(s.Context(), by(start), a.Key.ID, keys.Guard{}))
	s.enqueue("wh_a")
	s.enqueue("wh_b")
	for i, d := range s.claim("wh_a", time.Hour, 10) {
		s.settle(&d, keys.DeliveryResult{State: []keys.DeliveryState{keys.Delivered, keys.Failed, keys.Pending}[i], After: time.Hour})
	}
	for q, want := range map[keys.DeliveryQuery]int{
		{}: 6, {Webhook: "wh_a"}: 3, {Webhook: "wh_c"}: 0, {State: keys.Pending}: 4, {State: keys.Failed}: 1,
		{State: keys.Delivered, Webhook: "wh_b"}: 0, {Key: a.Key.ID}: 4, {Key: b.Key.ID, Webhook: "wh_a"}: 1, {Event: "gone"}: 2,
		{State: "none"}: 0, {Webhook: "' OR 1=1 --"}: 0, {Key: "\x00"}: 0, {Event: "\xff"}: 0,
	} {
		s.equal(fmt.Sprintf("deliveries for %+v", q), len(s.deliveries(q)), want)
	}
	want := s.deliveries(keys.DeliveryQuery{})
	for _, limit := range []int{1, 4, 6, 7} {
		var got []keys.Delivery
		for q := (keys.DeliveryQuery{Limit: limit}); ; {
			page, next, err := s.Deliveries(s.Context(), q)
			s.must(err)
			got = append(got, page...)
			if q.Cursor = next; next == "" {
				break
			}
		}
		s.equal("in pages", got, want)
	}
	_, next, err := s.Audit(s.Context(), keys.AuditQuery{Limit: 1})
	s.must(err)
	for _, cursor := range []string{"x", next} {
		if _, _, err := s.Deliveries(s.Context(), keys.DeliveryQuery{Cursor: cursor}); !isBadCursor(err) {
			s.Fatalf("cursor %q: %v", cursor, err)
		}
	}
}

func webhookPrune(s *suite) {
	s.subscribe("wh_a")
	s.created("old")
	s.must(s.Create(s.Context(), by(start.Add(time.Hour)), "create", []keys.New{newKey("young")}))
	s.enqueue("wh_a")
	s.must(s.PruneDeliveries(s.Context(), start))
	s.equal("deliveries", len(s.deliveries(keys.DeliveryQuery{})), 2)
	s.must(s.PruneDeliveries(s.Context(), start.Add(time.Minute)))
	left := s.deliveries(keys.DeliveryQuery{})
	s.equal("left", len(left), 1)
	s.equal("left", left[0].Entry.At, start.Add(time.Hour))
	s.enqueue("wh_a")
	s.equal("after the next look", len(s.deliveries(keys.DeliveryQuery{})), 1)
}

func webhookHostile(s *suite) {
	d := s.one()
	claimed := s.claim("wh_a", time.Hour, 1)[0]
	s.settle(&claimed, keys.DeliveryResult{State: keys.Pending, Error: "a\x00b\xffc'; DROP TABLE audit; --"})
	s.equal("error", s.deliveries(keys.DeliveryQuery{})[0].LastError, "a\uFFFDb\uFFFDc'; DROP TABLE audit; --")
	for _, id := range []string{"", "%", d.ID + "\x00", "\xff", "' OR 1=1 --"} {
		if _, err := s.Redeliver(s.Context(), id); !errors.Is(err, keys.ErrNoSuchDelivery) {
			s.Fatalf("id %q: %v", id, err)
		}
	}
}

func webhookNoChange(s *suite) {
	s.created("a")
	s.unchanged(func() {
		s.subscribe("wh_a")
		s.enqueue("wh_a")
		d := s.claim("wh_a", time.Hour, 1)[0]
		s.settle(&d, keys.DeliveryResult{State: keys.Delivered})
		_, err := s.Redeliver(s.Context(), d.ID)
		s.must(err)
		s.must(s.PruneDeliveries(s.Context(), start.Add(time.Hour)))
	})
}

func webhookReopen(s *suite) {
	d := s.one()
	claimed := s.claim("wh_a", time.Hour, 1)[0]
	s.settle(&claimed, keys.DeliveryResult{State: keys.Pending, Status: 500, Error: "x"})
	s.created("b")
	s.reopen()
	s.enqueue("wh_a")
	all := s.deliveries(keys.DeliveryQuery{})
	s.equal("told", toldOf(all), []string{"made create", "made create"})
	s.equal("the first", []any{all[1].ID, all[1].Attempts, all[1].LastStatus}, []any{d.ID, 1, 500})
}
