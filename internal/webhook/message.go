package webhook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// message is a body as Standard Webhooks has it: data is about one key, and is
// what handlers of Caddy's events get.
type message struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // of the change
	Data      data      `json:"data"`
}

type data struct {
	Key    keys.ID `json:"key"`
	Prefix string  `json:"prefix"`
	Owner  string  `json:"owner"`
	Actor  keys.ID `json:"actor"`
	Action string  `json:"action"`
}

// body writes what an endpoint is told of a delivery: the same bytes in every
// attempt, since they are made of the audit, which does not change.
func body(d *keys.Delivery) ([]byte, error) {
	e := &d.Entry
	m := message{d.Event, e.At, data{Key: e.Key, Actor: e.Actor, Action: e.Action}}
	var key struct{ Prefix, Owner string }
	state := cmp.Or(string(e.After), string(e.Before), "{}")
	if err := json.Unmarshal([]byte(state), &key); err != nil {
		return nil, fmt.Errorf("reading entry %s of the audit: %w", e.ID, err)
	}
	m.Data.Prefix, m.Data.Owner = key.Prefix, key.Owner
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("writing message %s: %w", d.ID, err)
	}
	return text, nil
}
