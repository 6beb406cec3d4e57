package e2e

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
)

// acknowledged is what the admin API said yes to.
type acknowledged struct {
	created map[string]string // id: name
	deleted map[string]bool
	// uncertain changes were under way at the kill: either is right.
	uncertain map[string]bool
	changes   atomic.Int64
}

// write makes changes until the gateway is gone.
func (a *acknowledged) write(g *Gateway, round int) {
	for i := 0; ; i++ {
		name := fmt.Sprintf("key %d of round %d", i, round)
		answer, err := g.TryAdmin("POST", "/v1/keys", map[string]any{"name": name, "permissions": map[string]any{"mode": "all"}})
		if err != nil {
			return
		}
		if answer.Status != http.StatusCreated {
			continue
		}
		id := answer.Text("id")
		a.created[id] = name
		a.changes.Add(1)
		changed := name + ", edited"
		a.uncertain[id] = true
		answer, err = g.TryAdmin("PATCH", "/v1/keys/"+id, map[string]any{"name": changed})
		if err != nil {
			return
		}
		if answer.Status != http.StatusOK {
			continue // the store may have died before its answer, or after
		}
		a.created[id] = changed
		if i%3 == 0 {
			answer, err = g.TryAdmin("DELETE", "/v1/keys/"+id, nil)
			if err != nil {
				return
			}
			if answer.Status != http.StatusNoContent {
				continue
			}
			delete(a.created, id)
			a.deleted[id] = true
		}
		delete(a.uncertain, id)
	}
}

func TestKillLosesNoAcknowledgedChange(t *testing.T) {
	dir := t.TempDir()
	a := &acknowledged{created: map[string]string{}, deleted: map[string]bool{}, uncertain: map[string]bool{}}
	const rounds, changes = 8, 25
	for round := range rounds {
		g := Start(t, Options{Config: caddyfile, Dir: dir})
		a.check(t, g)
		done := make(chan struct{})
		go func() { defer close(done); a.write(g, round) }()
		// Killed while changes are being made, each time after a few more.
		until := a.changes.Load() + changes + int64(round)
		Eventually(t, startTimeout, "changed", func() bool { return a.changes.Load() >= until })
		g.Kill()
		<-done
	}
	a.check(t, Start(t, Options{Config: caddyfile, Dir: dir}))
	if len(a.created) < rounds || len(a.deleted) < rounds {
		t.Errorf("only %d keys were made and %d deleted", len(a.created), len(a.deleted))
	}
}

func (a *acknowledged) check(t *testing.T, g *Gateway) {
	t.Helper()
	for id, name := range a.created {
		if a.uncertain[id] {
			continue
		}
		answer := g.Admin("GET", "/v1/keys/"+id, nil)
		if answer.Status != http.StatusOK || answer.Text("name") != name {
			t.Errorf("%s, acknowledged as %q, is %s", id, name, answer)
		}
	}
	for id := range a.deleted {
		Expect(t, g.Admin("GET", "/v1/keys/"+id, nil), http.StatusNotFound, "no_such_key")
	}
}
