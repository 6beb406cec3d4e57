package admin_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// heard is what the webhooks of these tests hear of.
var heard = map[string]string{"create": keys.EventCreated, "update": keys.EventUpdated, "disable": keys.EventUpdated, "delete": keys.EventDeleted}

// enqueue makes the deliveries of a webhook, and returns them, newest first.
func (s *site) enqueue(webhook string) []keys.Delivery {
	s.t.Helper()
	ctx := s.t.Context()
	err := s.store.Subscribe(ctx, webhook, theTime)
	if err == nil {
		_, err = s.store.Enqueue(ctx, webhook, heard, theTime)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	page, _, err := s.store.Deliveries(ctx, keys.DeliveryQuery{Webhook: webhook})
	if err != nil {
		s.t.Fatal(err)
	}
	return page
}

// settle ends the next attempt to tell a webhook something.
func (s *site) settle(webhook string, r keys.DeliveryResult) {
	s.t.Helper()
	claimed, err := s.store.Claim(s.t.Context(), webhook, time.Hour, 1)
	if err != nil || len(claimed) != 1 {
		s.t.Fatalf("claimed %v, %v", claimed, err)
	}
	if err := s.store.Settle(s.t.Context(), keys.Settled{Delivery: &claimed[0], Result: r}); err != nil {
		s.t.Fatal(err)
	}
}

func TestWebhooksAreListedWithoutWhatOpensThem(t *testing.T) {
	s := newSite(t, func(o *admin.Options) {
		o.Webhooks = []admin.Webhook{{ID: "wh_1", Host: "hooks.example.com", Events: keys.ChangeEvents, TimeoutSeconds: 1.5}}
	})
	want := []any{map[string]any{
		"id": "wh_1", "host": "hooks.example.com", "timeout_seconds": 1.5,
		"events": []any{"api_key_created", "api_key_updated", "api_key_deleted", "api_key_leaked"},
	}}
	if diff := cmp.Diff(want, s.do("GET", "/v1/webhooks", "").want(200).tree["data"]); diff != "" {
		t.Errorf("webhooks (-want +got):\n%s", diff)
	}
	s.do("GET", "/v1/webhooks?x=1", "").problem(422, "invalid_request")
	s.do("GET", "/v1/webhooks", "", "Authorization: ").problem(401, "missing_key")
	reader, _ := s.seed("reader", permission.Set{}, permission.Read)
	s.do("GET", "/v1/webhooks", "", "Authorization: Bearer "+reader).want(200)
	none, _ := s.seed("none", permission.Set{Mode: permission.All}, permission.None)
	s.do("GET", "/v1/webhooks", "", "Authorization: Bearer "+none).problem(403, "insufficient_access")
	s.do("POST", "/v1/webhooks", `{"url": "https://example.com"}`).problem(405, "method_not_allowed")
	if got := newSite(t).do("GET", "/v1/webhooks", "").want(200).text; !strings.Contains(got, `"data":[]`) {
		t.Errorf("without webhooks: %s", got)
	}
}

func TestDeliveriesAreListedWithWhatBecameOfThem(t *testing.T) {
	s := newSite(t)
	k := s.create(`{"permissions": {"mode": "all"}}`).get("id")
	s.do("PATCH", "/v1/keys/"+k, `{"enabled": false}`).want(200)
	s.do("DELETE", "/v1/keys/"+k, "").want(204)
	s.enqueue("wh_a")
	s.settle("wh_a", keys.DeliveryResult{State: keys.Delivered, Status: 204}) // of the site's admin key
	s.settle("wh_a", keys.DeliveryResult{State: keys.Pending, Status: 503, Error: "answered 503", After: time.Hour})
	s.settle("wh_a", keys.DeliveryResult{State: keys.Failed, Error: "no answer within 15s"})
	list := s.do("GET", "/v1/webhooks/deliveries?webhook=wh_a&key="+k, "").want(200).tree["data"].([]any)
	audit := s.do("GET", "/v1/audit?key="+k, "").want(200).tree["data"].([]any)
	if len(list) != 3 || len(audit) != 3 {
		t.Fatalf("%d deliveries of %d changes, want 3", len(list), len(audit))
	}
	for i, want := range []map[string]any{
		{"event": "api_key_deleted", "action": "delete", "state": "pending", "attempts": 0.0, "last_status": nil, "last_error": nil},
		{"event": "api_key_updated", "action": "disable", "state": "failed", "attempts": 1.0, "last_status": nil, "last_error": "no answer within 15s"},
		{"event": "api_key_created", "action": "create", "state": "pending", "attempts": 1.0, "last_status": 503.0, "last_error": "answered 503"},
	} {
		got := list[i].(map[string]any)
		if (got["last_attempt_at"] == nil) != (want["attempts"] == 0.0) || (got["next_attempt_at"] == nil) != (want["state"] == "failed") {
			t.Errorf("its times are wrong: %v", got)
		}
		if !strings.HasPrefix(got["id"].(string), "msg_") {
			t.Errorf("id %v", got["id"])
		}
		entry := audit[i].(map[string]any)
		want["key"], want["webhook"], want["audit"], want["at"] = k, "wh_a", entry["id"], entry["at"]
		delete(got, "id")
		delete(got, "last_attempt_at")
		delete(got, "next_attempt_at")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("delivery %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestDeliveriesAreFilteredAndPaged(t *testing.T) {
	s := newSite(t)
	for range 5 {
		s.create(`{"permissions": {"mode": "all"}}`)
	}
	s.enqueue("wh_a")
	s.enqueue("wh_b")
	s.settle("wh_a", keys.DeliveryResult{State: keys.Failed})
	count := func(query string) (n int) {
		t.Helper()
		for cursor := ""; ; {
			answer := s.do("GET", "/v1/webhooks/deliveries?limit=2"+query+"&cursor="+cursor, "").want(200)
			n += len(answer.tree["data"].([]any))
			next, more := answer.tree["next_cursor"].(string)
			if !more {
				return n
			}
			cursor = next
		}
	}
	for query, want := range map[string]int{
		"": 12, "&webhook=wh_a": 6, "&webhook=wh_c": 0, "&state=pending": 11, "&state=failed": 1, "&state=delivered": 0,
		"&event=api_key_created": 12, "&event=api_key_leaked": 0, "&key=" + string(s.adminID): 2, "&webhook=wh_b&state=failed": 0,
	} {
		if got := count(query); got != want {
			t.Errorf("%q: %d deliveries, want %d", query, got, want)
		}
	}
	for _, query := range []string{"state=sent", "event=api_key_refused", "limit=0", "limit=201", "cursor=x", "webhooks=a", "key=%00"} {
		s.do("GET", "/v1/webhooks/deliveries?"+query, "").problem(422, "invalid_request")
	}
}

func TestADeliveryIsSentAgainWhenAWriterSaysSo(t *testing.T) {
	var woken atomic.Int64
	s := newSite(t, func(o *admin.Options) { o.Redelivered = func() { woken.Add(1) } })
	id := s.enqueue("wh_a")[0].ID
	s.settle("wh_a", keys.DeliveryResult{State: keys.Failed, Status: 410, Error: "answered 410"})
	path := "/v1/webhooks/deliveries/" + id + "/retry"
	answer := s.do("POST", path, "").want(200)
	if answer.get("id") != id || answer.get("state") != "pending" || answer.tree["attempts"] != 1.0 || answer.tree["last_status"] != 410.0 {
		t.Errorf("answer %s", answer.text)
	}
	if woken.Load() != 1 {
		t.Errorf("the sender heard of it %d times", woken.Load())
	}
	s.settle("wh_a", keys.DeliveryResult{State: keys.Delivered, Status: 200})
	for _, other := range []string{"msg_none", "aud_0000000000000001", "%27%20OR%201=1", id + "0", strings.ToUpper(id)} {
		s.do("POST", "/v1/webhooks/deliveries/"+other+"/retry", "").problem(404, "no_such_delivery")
	}
	s.do("GET", path, "").problem(405, "method_not_allowed")
	s.do("POST", path+"?x=1", "").problem(422, "invalid_request")
	if woken.Load() != 1 {
		t.Error("the sender heard of what is not there")
	}
}

// absent is a real store that can't be asked for deliveries.
type absent struct{ keys.Store }

func (absent) Deliveries(context.Context, keys.DeliveryQuery) ([]keys.Delivery, string, error) {
	return nil, "", errors.New("the store is down")
}

func (absent) Redeliver(context.Context, string) (*keys.Delivery, error) {
	return nil, errors.New("the store is down")
}

func TestWithoutTheStoreThereIsNoDelivery(t *testing.T) {
	s := newSite(t, func(o *admin.Options) { o.Store = absent{o.Store} })
	s.do("GET", "/v1/webhooks/deliveries", "").problem(503, "store_unavailable")
	s.do("POST", "/v1/webhooks/deliveries/msg_1/retry", "").problem(503, "store_unavailable")
	s.do("GET", "/v1/webhooks", "").want(200)
}
