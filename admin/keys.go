package admin

import (
	"errors"
	"maps"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// createKey is POST /v1/keys.
func (a *api) createKey(c *call) (any, error) {
	object, _ := c.body.(map[string]any)
	draft := a.fields(c).draft("", object)
	if err := c.fault(); err != nil {
		return nil, err
	}
	secret, err := keys.NewSecret(a.KeyPrefix, a.Random)
	if err != nil {
		return nil, err
	}
	key := draft.key(c, secret.Prefix())
	if err := a.Store.Create(c.ctx, a.by(c), "create", []keys.New{{Key: key, Digest: secret.Digest()}}); err != nil {
		return nil, err
	}
	c.changed("create", c.actor.ID(), &key)
	c.header.Set("Location", "/v1/keys/"+string(key.ID))
	c.header.Set("ETag", etag(key.Version))
	return KeyWithSecret{Key: showKey(&key, c.now), Secret: secret.Reveal()}, nil
}

// listKeys is GET /v1/keys.
func (a *api) listKeys(c *call) (any, error) {
	if name := c.query["api"]; name != "" && !a.declares(c, name) {
		c.faults.add("api", "no API of this name is declared in the configuration")
	}
	if err := c.fault(); err != nil {
		return nil, err
	}
	found, next, err := a.Store.List(c.ctx, keys.Query{
		Owner: orNull(c.query["owner"]), Status: keys.Status(c.query["status"]), Now: c.now,
		Text: c.query["q"], API: c.query["api"], Limit: c.query.limit(), Cursor: c.query["cursor"],
		UnusedSince: c.query.time("unused_since", time.Time{}), Sort: keys.Sort(c.query["sort"]),
	})
	if err != nil {
		return nil, c.cursorFault(err)
	}
	return KeyList{Data: showKeys(found, c.now), NextCursor: orNull(next)}, nil
}

// cursorFault makes a cursor that the store does not know a fault of the request.
func (c *call) cursorFault(err error) error {
	if !errors.Is(err, keys.ErrBadCursor) {
		return err
	}
	c.faults.add("cursor", "is not the next_cursor of this list")
	return c.faults.err()
}

// getKey is GET /v1/keys/{id}.
func (a *api) getKey(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	key, err := a.Store.Get(c.ctx, c.id(), c.now)
	if err != nil {
		return nil, err
	}
	return c.show(key), nil
}

// id returns the key's id in the path; "", which no key has, for a text that
// can't be one and that a store could choke on.
func (c *call) id() keys.ID {
	if id := c.path["id"]; isEndpointID(id) {
		return keys.ID(id)
	}
	return ""
}

// show returns a key as the answer, with its ETag.
func (c *call) show(key *keys.Key) Key {
	c.header.Set("ETag", etag(key.Version))
	return showKey(key, c.now)
}

// patchKey is PATCH /v1/keys/{id}: a JSON merge patch (RFC 7396).
func (a *api) patchKey(c *call) (any, error) {
	object, _ := c.body.(map[string]any)
	draft := a.fields(c).draft("", object)
	if err := c.fault(); err != nil {
		return nil, err
	}
	guard, err := a.guard(c)
	if err != nil {
		return nil, err
	}
	key, err := a.Store.Update(c.ctx, a.by(c), c.id(), guard, func(k *keys.Key) error {
		return draft.apply(k, object)
	})
	if err != nil {
		return nil, err
	}
	if key.UpdatedAt.Equal(c.now) { // else the edit changed nothing
		c.changed("update", c.actor.ID(), key)
	}
	return c.show(key), nil
}

// apply changes in k what the patch names, and nothing else.
func (d *draft) apply(k *keys.Key, patch map[string]any) error {
	for field := range patch {
		switch field {
		case "name":
			k.Name = d.name
		case "owner":
			k.Owner = d.owner
		case "permissions":
			k.Permissions = d.permissions
		case "admin":
			k.Admin = d.admin
		case "enabled":
			k.Enabled = d.enabled
		case "expires_at":
			k.ExpiresAt = d.expiresAt
		case "allowed_cidrs":
			k.Sources = d.sources
		case "metadata":
			merged, err := mergeMetadata(k.Metadata, patch[field])
			if err != nil {
				return err
			}
			k.Metadata = merged
		}
	}
	return nil
}

// mergeMetadata merges member by member: null removes a pair, null for the
// whole removes all. How many pairs remain is known only here.
func mergeMetadata(old map[string]string, patch any) (map[string]string, error) {
	merged := map[string]string{}
	object, ok := patch.(map[string]any)
	if !ok {
		return merged, nil
	}
	maps.Copy(merged, old)
	for name, value := range object {
		if value == nil {
			delete(merged, name)
			continue
		}
		merged[name] = text(value)
	}
	if len(merged) > maxMetadata {
		f := &faults{}
		f.addf("metadata", "expected at most %d members, found %d after the change", maxMetadata, len(merged))
		return nil, f.err()
	}
	return merged, nil
}

// deleteKey is DELETE /v1/keys/{id}.
func (a *api) deleteKey(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	guard, err := a.guard(c)
	if err != nil {
		return nil, err
	}
	var key *keys.Key
	if a.Changed != nil { // who wants to hear of it wants to know what it was
		if key, err = a.Store.Get(c.ctx, c.id(), c.now); err != nil {
			return nil, err
		}
	}
	if err := a.Store.Delete(c.ctx, a.by(c), c.id(), guard); err != nil {
		return nil, err
	}
	if key != nil {
		c.changed("delete", c.actor.ID(), key)
	}
	return nil, nil //nolint:nilnil // 204 has no body
}

// rotateKey is POST /v1/keys/{id}/rotate.
func (a *api) rotateKey(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	object, _ := c.body.(map[string]any)
	grace := time.Duration(whole(object["grace_seconds"])) * time.Second
	guard, err := a.guard(c)
	if err != nil {
		return nil, err
	}
	secret, err := keys.NewSecret(a.KeyPrefix, a.Random)
	if err != nil {
		return nil, err
	}
	key, err := a.Store.Rotate(c.ctx, a.by(c), c.id(), guard, secret.Digest(), secret.Prefix(), c.now.Add(grace))
	if err != nil {
		return nil, err
	}
	c.changed("rotate", c.actor.ID(), key)
	return KeyWithSecret{Key: c.show(key), Secret: secret.Reveal()}, nil
}

// by is what the audit says of a change made by this call.
func (a *api) by(c *call) keys.By {
	return keys.By{Actor: c.actor.ID(), IP: a.ClientIP(c.request), At: c.now}
}

// guard returns what must hold for this call's change of a key: what If-Match
// says, and that an admin key remains. With an admin key in the configuration
// the last stored one may go.
func (a *api) guard(c *call) (keys.Guard, error) {
	guard := keys.Guard{KeepAdmin: a.ConfigAdmin == nil}
	condition := readIfMatch(c.request.Header.Values("If-Match"))
	if condition.any {
		return guard, nil
	}
	key, err := a.Store.Get(c.ctx, c.id(), c.now)
	if err != nil {
		return guard, err
	}
	if !condition.names(key.Version) {
		return guard, errVersion
	}
	// The store checks again in the transaction: of two callers who saw the
	// same version one is first.
	guard.Version = key.Version
	return guard, nil
}
