package admin

import (
	"errors"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// importKeys is POST /v1/keys/import: all of the keys or none.
func (a *api) importKeys(c *call) (any, error) {
	object, _ := c.body.(map[string]any)
	list, _ := object["keys"].([]any)
	if len(list) > maxImport {
		return nil, c.faults.err()
	}
	fields := a.fields(c)
	foreign := make([]keys.New, len(list))
	for i, item := range list {
		foreign[i] = a.readForeign(c, fields, at("keys", i), item)
	}
	if err := c.fault(); err != nil {
		return nil, err
	}
	if twice := repeated(foreign); twice.any() {
		return nil, knownSecret(twice)
	}
	if err := a.Store.Create(c.ctx, a.by(c), "import", foreign); err != nil {
		return nil, importFault(err)
	}
	answer := ImportAnswer{Data: make([]Key, len(foreign))}
	for i := range foreign {
		answer.Data[i] = showKey(&foreign[i].Key, c.now)
		c.changed("import", c.actor.ID(), &foreign[i].Key)
	}
	return answer, nil
}

// maxImport is how many keys one call may bring in.
const maxImport = 10_000

// readForeign reads a key of another system.
func (a *api) readForeign(c *call, fields *fields, path string, item any) keys.New {
	object, ok := item.(map[string]any)
	if !ok {
		return keys.New{} // the schema says so
	}
	draft := fields.draft(path, object)
	secret, hasSecret := object["secret"]
	hash, hasHash := object["sha256"]
	if hasSecret == hasHash {
		c.faults.add(join(path, "secret"), "expected either secret or sha256, and not both")
		return keys.New{}
	}
	prefix := strings.TrimSpace(text(object["prefix"]))
	if _, given := object["prefix"]; given && prefix == "" {
		c.faults.add(join(path, "prefix"), "must not be empty; leave it out for the first 8 characters of the secret")
	}
	if hasHash {
		return a.fromHash(c, draft, hash, prefix)
	}
	return a.fromSecret(c, draft, path, text(secret), prefix)
}

func (a *api) fromSecret(c *call, d draft, path, given, prefix string) keys.New {
	if prefix == "" {
		prefix = keys.ForeignPrefix(given)
	} else if revealing(prefix, given) {
		c.faults.add(join(path, "prefix"), "shows more than half of the secret; prefixes are displayed, secrets never")
	}
	secret, err := keys.ForeignSecret(given)
	if err != nil {
		return keys.New{} // the schema says the same, and has noted it
	}
	_, err = keys.ParseSecret(a.KeyPrefix, given)
	k := d.key(c, prefix)
	k.Legacy = true
	return keys.New{Key: k, Digest: secret.Digest(), Foreign: err != nil}
}

// revealing reports whether a displayed prefix gives a secret away.
func revealing(prefix, secret string) bool {
	return strings.Contains(prefix, secret) || strings.HasPrefix(secret, prefix) && len(prefix) > len(secret)/2
}

// fromHash makes a key of which only the secret's SHA-256 is known. Without a
// prefix it is shown by the end of its id: by the hash would give some of it
// away.
func (a *api) fromHash(c *call, d draft, hash any, prefix string) keys.New {
	digest, _ := digestOf(hash)
	k := d.key(c, prefix)
	k.Legacy = true
	if prefix == "" {
		k.Prefix = "legacy_" + string(k.ID[len(k.ID)-8:])
		if k.Name == "" {
			k.Name = k.Prefix
		}
	}
	return keys.New{Key: k, Digest: digest, Foreign: true}
}

// repeated notes the secrets that stand in one import twice.
func repeated(foreign []keys.New) *faults {
	f := &faults{}
	first := make(map[keys.Digest]int, len(foreign))
	for i := range foreign {
		digest := foreign[i].Digest
		if earlier, twice := first[digest]; twice {
			f.addf(join(at("keys", i), "secret"), "is the same as that of %s", at("keys", earlier))
			continue
		}
		first[digest] = i
	}
	return f
}

// importFault says which secret the store knows already.
func importFault(err error) error {
	var known *keys.KnownSecretError
	if !errors.As(err, &known) {
		return err
	}
	f := &faults{}
	f.add(join(at("keys", known.Index), "secret"), "is known already; nothing was imported")
	return knownSecret(f)
}
