package admin

import "github.com/caddy-keywarden/keywarden/internal/keys"

// Change is a change of a key that was made by a call, for those who want to
// hear of it. It holds nothing that opens anything.
type Change struct {
	Action        string // create, import, update, rotate, delete or leak
	Key           keys.ID
	Prefix, Owner string
	Actor         keys.ID
}

// changed notes what is told when c is answered.
func (c *call) changed(action string, actor keys.ID, k *keys.Key) {
	c.changes = append(c.changes, Change{Action: action, Key: k.ID, Prefix: k.Prefix, Owner: k.Owner, Actor: actor})
}

// tell tells what c has changed.
func (a *api) tell(c *call) {
	if a.Changed == nil {
		return
	}
	for _, change := range c.changes {
		a.Changed(change)
	}
}
