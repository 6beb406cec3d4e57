package caddymodule

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// subscriber is a handler of events, as plugins have them.
type subscriber struct{}

// heard is what subscribers have heard.
var heard = make(chan caddy.Event, 1000)

func init() { caddy.RegisterModule(subscriber{}) }

func (subscriber) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.keywarden_test", New: func() caddy.Module { return new(subscriber) }}
}

func (subscriber) Handle(_ context.Context, e caddy.Event) error {
	heard <- e
	return nil
}

func (*subscriber) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return nil
}

// hear waits for the next event.
func hear(t *testing.T) caddy.Event {
	t.Helper()
	select {
	case e := <-heard:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event has come in 10 s")
		panic("unreachable")
	}
}

const subscribed = `
events {
	on api_key_created keywarden_test
	on api_key_updated keywarden_test
	on api_key_deleted keywarden_test
	on api_key_leaked keywarden_test
	on api_key_refused keywarden_test
}`

func TestHandlersHearOfWhatHappensToKeys(t *testing.T) {
	s := newSite(t, subscribed, withAdmin)
	admin, adminSecret := s.key(func(k *keys.Key) { k.Admin = permission.Write })
	json1 := header("Content-Type", "application/json")
	call := func(status int, method, path, text string) map[string]any {
		t.Helper()
		answer := s.want(status, method, "/admin"+path, bearer(adminSecret), json1, body(text))
		var out map[string]any
		if answer != "" {
			if err := json.Unmarshal([]byte(answer), &out); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	var secrets []string
	expect := func(name, action string, key map[string]any, actor string) {
		t.Helper()
		e := hear(t)
		want := map[string]any{"key": key["id"], "prefix": key["prefix"], "owner": key["owner"], "actor": actor, "action": action}
		if diff := cmp.Diff(want, e.Data); diff != "" || e.Name() != name {
			t.Errorf("%s, want %s (-want +heard):\n%s", e.Name(), name, diff)
		}
		text, err := json.Marshal(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s tells a secret", name)
			}
		}
	}
	made := call(201, "POST", "/v1/keys", `{"owner":"team-7","permissions":{"mode":"all"}}`)
	secrets = append(secrets, made["secret"].(string))
	expect(keys.EventCreated, "create", made, string(admin.ID))
	path := "/v1/keys/" + made["id"].(string)
	changed := call(200, "PATCH", path, `{"owner":"team-8"}`)
	expect(keys.EventUpdated, "update", changed, string(admin.ID))
	call(200, "PATCH", path, `{"owner":"team-8"}`) // changes nothing
	call(422, "PATCH", path, `{"owner":1}`)
	rotated := call(200, "POST", path+"/rotate", "{}")
	secrets = append(secrets, rotated["secret"].(string))
	expect(keys.EventUpdated, "rotate", rotated, string(admin.ID))
	call(202, "POST", "/v1/leaks", `{"secret":"`+secrets[1]+`"}`)
	expect(keys.EventLeaked, "leak", rotated, "leak-report")
	s.want(401, "GET", "/rest/users", bearer(secrets[1]))
	if e := hear(t); e.Name() != keys.EventRefused || e.Data["key"] != made["id"] || e.Data["action"] != "disabled_key" || e.Data["omitted"] != int64(0) {
		t.Errorf("heard %s %v", e.Name(), e.Data)
	}
	s.want(401, "GET", "/rest/users", bearer(secrets[0])) // no known key
	call(204, "DELETE", path, "")
	expect(keys.EventDeleted, "delete", rotated, string(admin.ID))
	imported := call(201, "POST", "/v1/keys/import", `{"keys":[{"owner":"x","permissions":{"mode":"all"},"secret":"one-of-another-system"}]}`)
	expect(keys.EventCreated, "import", imported["data"].([]any)[0].(map[string]any), string(admin.ID))
}

func TestAFloodOfRefusalsIsToldInPart(t *testing.T) {
	s := newSite(t, subscribed, standard)
	_, secret := s.key(func(k *keys.Key) { k.Enabled = false })
	const requests = 100
	began := time.Now()
	for range requests {
		s.want(401, "GET", "/rest/users", bearer(secret))
	}
	most := refusalsASecond * (2 + int(time.Since(began).Seconds()))
	told := 1
	hear(t)
	if err := caddy.Stop(); err != nil { // whoever still waits is not told
		t.Fatal(err)
	}
	for len(heard) > 0 {
		<-heard
		told++
	}
	if told > most {
		t.Errorf("of %d refusals %d were told, want at most %d", requests, told, most)
	}
}

func TestWithoutSubscribersNothingIsTold(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key(func(k *keys.Key) { k.Enabled = false })
	s.want(401, "GET", "/rest/users", bearer(secret))
	if n := len(heard); n != 0 {
		t.Errorf("%d events", n)
	}
}
