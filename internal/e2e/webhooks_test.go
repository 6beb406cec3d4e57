package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

const (
	hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	hookToken  = "T0ken-of-the-path"
	// hookWait is how long a message may take on a machine that is busy: what
	// was broken off is sent again after 8 seconds.
	hookWait = time.Minute
)

// hook is a message that a receiver has verified.
type hook struct {
	ID, Type                          string
	Key, Prefix, Owner, Actor, Action string
}

// hooks is a receiver of webhooks. It verifies what comes with the library
// that receivers use, and answers as first says when a message comes for the
// first time, and then 204.
type hooks struct {
	*httptest.Server
	t      *testing.T
	all    chan hook
	first  func(hook, http.ResponseWriter, *http.Request)
	mu     sync.Mutex
	seen   map[string]int // attempts of each message
	secret string
}

func newHooks(t *testing.T, first func(hook, http.ResponseWriter, *http.Request)) *hooks {
	t.Helper()
	h := &hooks{t: t, all: make(chan hook, 1000), first: first, seen: map[string]int{}, secret: hookSecret}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	var body struct {
		Type      string
		Timestamp time.Time
		Data      hook
	}
	verifier, err2 := standardwebhooks.NewWebhook(h.secret)
	if err = errors.Join(err, err2); err == nil {
		err = errors.Join(verifier.Verify(text, r.Header), json.Unmarshal(text, &body))
	}
	if err != nil || r.URL.Path != "/"+hookToken || time.Since(body.Timestamp).Abs() > time.Hour {
		h.t.Errorf("%s got %q with %v: %v", r.URL.Path, text, r.Header, err)
	}
	got := body.Data
	got.ID, got.Type = r.Header.Get("Webhook-Id"), body.Type
	h.mu.Lock()
	h.seen[got.ID]++
	times := h.seen[got.ID]
	h.mu.Unlock()
	h.all <- got
	if times == 1 && h.first != nil {
		h.first(got, w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// next returns the next message that is about one of the actions.
func (h *hooks) next(actions ...string) hook {
	h.t.Helper()
	for timer := time.After(hookWait); ; {
		select {
		case got := <-h.all:
			for _, action := range actions {
				if got.Action == action {
					return got
				}
			}
		case <-timer:
			h.t.Fatalf("no webhook told of %q", actions)
		}
	}
}

// awaitCreated waits until the receiver is told of a key; what was told before a
// kill may come again.
func (h *hooks) awaitCreated(key string) {
	h.t.Helper()
	for told := ""; told != key; {
		told = h.next("create").Key
	}
}

// told puts a webhook into a configuration.
func (h *hooks) told(config string, options ...string) string {
	return strings.Replace(config, "api_keys {\n", fmt.Sprintf("api_keys {\n\t\twebhook %s/%s {\n\t\t\tsecret {env.HOOK_SECRET}\n\t\t\ttimeout 3s\n\t\t\t%s\n\t\t}\n",
		h.URL, hookToken, strings.Join(options, "\n\t\t\t")), 1)
}

var hookEnv = []string{"HOOK_SECRET=" + hookSecret}

// hang answers nothing until whoever asks has given up.
func hang(r *http.Request) { <-r.Context().Done() }

// deliveries returns what the log has about a key, by action.
func deliveries(g *Gateway, key string) map[string]map[string]any {
	g.t.Helper()
	answer := g.Admin("GET", "/v1/webhooks/deliveries?key="+key, nil)
	Expect(g.t, answer, http.StatusOK, "")
	list, _ := answer.Field("data").([]any)
	byAction := map[string]map[string]any{}
	for _, item := range list {
		d, _ := item.(map[string]any)
		byAction[fmt.Sprint(d["action"])] = d
	}
	return byAction
}

func TestAReceiverThatFailsHangsOrRedirectsIsToldAgain(t *testing.T) {
	t.Parallel() // it mostly waits
	stray := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(stray.Close)
	h := newHooks(t, func(m hook, w http.ResponseWriter, r *http.Request) {
		switch m.Action {
		case "create":
			w.WriteHeader(http.StatusInternalServerError)
		case "disable":
			hang(r)
		case "delete":
			http.Redirect(w, r, stray.URL+"/"+hookToken, http.StatusPermanentRedirect)
		}
	})
	g := Start(t, Options{Config: h.told(caddyfile), Env: hookEnv})
	if got := h.next("bootstrap"); got.Type != "api_key_created" || got.Actor != "bootstrap" {
		t.Errorf("of the first admin key it is told %+v", got)
	}
	key := g.Create(map[string]any{"owner": "team-7"})
	g.Patch(key.ID, map[string]any{"enabled": false})
	Expect(t, g.Admin("DELETE", "/v1/keys/"+key.ID, nil), http.StatusNoContent, "")

	ids := map[string]string{}
	for !h.twice(ids, "create", "disable", "delete") {
		got := h.next("create", "disable", "delete")
		if got.Key != key.ID || got.Prefix != key.Prefix || got.Owner != "team-7" || ids[got.Action] != "" && ids[got.Action] != got.ID {
			t.Errorf("of key %s it is told %+v; earlier %s", key.ID, got, ids[got.Action])
		}
		ids[got.Action] = got.ID
	}
	awaitDelivered(g, key.ID)
	for action, d := range deliveries(g, key.ID) {
		if d["id"] != ids[action] || d["attempts"].(float64) < 2 || d["last_status"] != 204.0 || d["next_attempt_at"] != nil {
			t.Errorf("the log says of %s: %v", action, d)
		}
	}
	again := g.Admin("POST", "/v1/webhooks/deliveries/"+ids["delete"]+"/retry", nil)
	Expect(t, again, http.StatusOK, "")
	if got := h.next("delete"); got.ID != ids["delete"] {
		t.Errorf("again came %+v, want %s", got, ids["delete"])
	}
	list := g.Admin("GET", "/v1/webhooks", nil)
	if host := strings.TrimPrefix(h.URL, "http://"); !strings.Contains(list.String(), host) {
		t.Errorf("the webhooks are %s", list)
	}
	for what, text := range map[string]string{"the list": list.String(), "the log": g.Admin("GET", "/v1/webhooks/deliveries", nil).String(), "the output": g.Output()} {
		if strings.Contains(text, hookToken) || strings.Contains(text, hookSecret) {
			t.Errorf("%s shows what opens the webhook:\n%s", what, text)
		}
	}
}

// twice says that each action was told twice or more.
func (h *hooks) twice(ids map[string]string, actions ...string) bool {
	for _, action := range actions {
		if h.times(ids[action]) < 2 {
			return false
		}
	}
	return true
}

// awaitDelivered waits until all is delivered that was told of a key. The
// third attempt comes after minutes: where the second was too slow, as on a
// machine that is busy, it is asked for.
func awaitDelivered(g *Gateway, key string) {
	g.t.Helper()
	Eventually(g.t, hookWait, "delivered", func() bool {
		delivered := true
		for _, d := range deliveries(g, key) {
			if d["state"] == "delivered" {
				continue
			}
			delivered = false
			if d["attempts"].(float64) >= 2 {
				g.Admin("POST", fmt.Sprintf("/v1/webhooks/deliveries/%s/retry", d["id"]), nil)
			}
		}
		return delivered
	})
}

func TestWhatWasChangedBeforeAKillIsToldAfterIt(t *testing.T) {
	t.Parallel() // it mostly waits
	hung := make(chan hook, 1)
	h := newHooks(t, func(m hook, w http.ResponseWriter, r *http.Request) {
		if m.Owner == "stuck" {
			hung <- m
			hang(r)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	o := Options{Config: h.told(caddyfile), Dir: t.TempDir(), Env: hookEnv}
	g := Start(t, o)
	h.next("bootstrap")
	stuck := g.Create(map[string]any{"owner": "stuck"})
	var first hook
	select {
	case first = <-hung:
	case <-time.After(hookWait):
		t.Fatal("the receiver was told of nothing")
	}
	// While the receiver keeps the gateway waiting: nobody has tried to tell of this one.
	waiting := g.Create(map[string]any{"owner": "waiting"})
	g.Kill()

	g = Start(t, o)
	told := map[string]hook{}
	for len(told) < 2 {
		if got := h.next("create"); got.ID != first.ID || told[stuck.ID].ID == "" && h.times(got.ID) > 1 {
			told[got.Key] = got
		}
	}
	if told[stuck.ID].ID != first.ID || told[waiting.ID].ID == "" {
		t.Errorf("after the kill it is told of %+v", told)
	}

	// On a reload, another secret signs along, and deliveries go on.
	const next = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	g.WriteConfig(strings.Replace(o.Config, "secret {env.HOOK_SECRET}", "secret "+next+" {env.HOOK_SECRET}", 1))
	if out, err := g.Reload(); err != nil {
		t.Fatalf("reload: %v\n%s", err, out)
	}
	after := g.Create(nil)
	h.awaitCreated(after.ID)
}

// times is how often a message has come.
func (h *hooks) times(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[id]
}

func TestGatewaysOnOneDatabaseTellForEachOther(t *testing.T) {
	t.Parallel() // it mostly waits
	address := pgtest.Database(t)
	h := newHooks(t, nil)
	a := Start(t, Options{Config: h.told(onPostgres(address)), Env: hookEnv})
	h.next("bootstrap")
	b := Start(t, Options{Config: h.told(onPostgres(address)), Env: hookEnv, AdminKey: a.AdminKey})
	const n = 20
	for range n {
		a.Create(nil)
	}
	ids := map[string]string{}
	for len(ids) < n {
		got := h.next("create")
		if ids[got.Key] != "" && ids[got.Key] != got.ID {
			t.Errorf("two messages tell of %s", got.Key)
		}
		ids[got.Key] = got.ID
	}
	// What the one did not get to tell before it was killed the other one does.
	last := a.Create(nil)
	a.Kill()
	h.awaitCreated(last.ID)
	awaitDelivered(b, last.ID)
}

func TestAnEmptyWebhookSecretStopsTheStart(t *testing.T) {
	h := newHooks(t, nil)
	out := StartRefused(t, Options{Config: h.told(caddyfile), Env: []string{"HOOK_SECRET="}})
	if !strings.Contains(out, "webhook 1: secret: ") || !strings.Contains(out, "expected a value for every placeholder") || strings.Contains(out, hookToken) {
		t.Errorf("it says:\n%s", out)
	}
}
