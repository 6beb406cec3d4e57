package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestWaitingTellsThatAChangeHoldsEverywhere(t *testing.T) {
	c := newGateway(t).console(t)
	made := c.create("ci", "--all")
	for _, command := range [][]string{
		{"disable", made.ID}, {"enable", made.ID}, {"edit", made.ID, "--name", "b"}, {"rotate", made.ID}, {"delete", made.ID, "--yes"},
	} {
		r := c.ok(append(append([]string{"keys"}, command...), "--wait", "2s")...)
		if !strings.Contains(r.err, "holds on every gateway") {
			t.Errorf("%s: printed %q", command, r.err)
		}
	}
}

func TestWaitingFailsAndNamesTheGatewaysOnWhichAChangeDoesNotHold(t *testing.T) {
	g := newGateway(t)
	c := g.console(t)
	made := c.create("ci", "--all")
	_, err := g.store.PutNode(t.Context(), keys.Node{ID: "node_2", Name: "gw-2:17", StartedAt: time.Now(), Lease: time.Hour, Keeps: time.Hour}, nil)
	must(t, err)
	r := c.fails(1, "gw-2:17", "keys", "rotate", made.ID, "--wait", "1s")
	if len(strings.TrimSpace(r.out)) < 40 {
		t.Errorf("the new secret is lost: %q", r.out)
	}
	c.fails(1, "the change is made", "keys", "disable", made.ID, "--wait", "0.2s", "--json")
	if got := c.get(made.ID); got.Enabled {
		t.Error("the change is not made")
	}
	c.ok("keys", "enable", made.ID) // nobody asked
	// It says that it has gone, or catches up.
	must(t, g.store.DropNode(t.Context(), "node_2"))
	c.ok("keys", "delete", made.ID, "--yes", "--wait", "30s")
}

func TestAWrongWaitChangesNothing(t *testing.T) {
	c := newGateway(t).console(t)
	made := c.create("ci", "--all")
	for _, wait := range []string{"", "soon", "-1s", "31s", "5", "1h"} {
		c.fails(2, "--wait", "keys", "disable", made.ID, "--wait", wait)
		c.fails(2, "--wait", "keys", "delete", made.ID, "--yes", "--wait", wait)
		c.fails(2, "--wait", "keys", "rotate", made.ID, "--wait", wait)
		c.fails(2, "--wait", "keys", "edit", made.ID, "--name", "b", "--wait", wait)
	}
	if got := c.get(made.ID); !got.Enabled || got.Name != "ci" || got.Prefix != made.Prefix {
		t.Errorf("the key is %+v", got)
	}
}
