package admin

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// The limits of a key's fields (contract, section 6).
const (
	maxName          = 100
	maxMetadata      = 16
	maxMetadataKey   = 40
	maxMetadataValue = 500
)

// fields reads the fields of a key that were sent. The schema has judged their
// shape; this notes what a schema can't say, and passes over values that have
// a fault of shape, so that all faults come out at once.
type fields struct {
	faults *faults
	now    time.Time
	// declares says which APIs there are.
	declares func(api string) bool
}

func (a *api) fields(c *call) *fields {
	return &fields{faults: c.faults, now: c.now, declares: func(name string) bool { return a.declares(c, name) }}
}

// draft is a key as somebody wants it to be.
type draft struct {
	name        string // "": left out
	owner       string
	permissions permission.Set
	admin       permission.Access
	enabled     bool
	expiresAt   time.Time
	metadata    map[string]string
	sources     keys.Sources
}

// draft reads a whole key, with the defaults of what is left out.
func (f *fields) draft(path string, object map[string]any) draft {
	d := draft{enabled: true, metadata: map[string]string{}}
	for field, value := range object {
		at := join(path, field)
		switch field {
		case "name":
			d.name = f.name(at, value)
		case "owner":
			d.owner = text(value)
		case "permissions":
			d.permissions = f.permissions(at, value)
		case "admin":
			d.admin = access(value)
		case "enabled":
			d.enabled = value == true
		case "expires_at":
			d.expiresAt = f.expiry(at, value)
		case "metadata":
			d.metadata = pairs(value)
		case "allowed_cidrs":
			d.sources = f.sources(at, value)
		}
	}
	return d
}

// key returns the key of d, made by this call.
func (d *draft) key(c *call, prefix string) keys.Key {
	k := keys.Key{
		ID: keys.NewID(), Name: d.name, Owner: d.owner, Prefix: prefix, Permissions: d.permissions, Admin: d.admin,
		Enabled: d.enabled, ExpiresAt: d.expiresAt, CreatedAt: c.now, UpdatedAt: c.now, CreatedBy: c.actor.ID(),
		Metadata: d.metadata, Sources: d.sources, Version: 1,
	}
	if k.Name == "" {
		k.Name = prefix
	}
	return k
}

// name trims, then judges: what people see counts.
func (f *fields) name(path string, v any) string {
	name, ok := v.(string)
	if !ok {
		return ""
	}
	name = strings.TrimSpace(name)
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		f.faults.add(path, "must not be empty; leave it out to name the key after its prefix")
	case n > maxName:
		f.faults.addf(path, "expected at most %s, found %d", characters(maxName), n)
	}
	return name
}

// expiry reads a time, to the millisecond, as stores keep it; null is never.
func (f *fields) expiry(path string, v any) time.Time {
	t, ok := parseTime(text(v))
	if !ok {
		return time.Time{}
	}
	t = t.UTC().Truncate(time.Millisecond)
	if !t.After(f.now) {
		f.faults.add(path, "expected a time in the future, or null for never")
	}
	return t
}

// sources reads the networks that a key is limited to.
func (f *fields) sources(path string, v any) keys.Sources {
	list, _ := v.([]any)
	if len(list) > keys.MaxSources {
		return ""
	}
	texts := make([]string, len(list))
	for i, item := range list {
		one, ok := item.(string)
		if !ok {
			return "" // the schema says so
		}
		texts[i] = one
	}
	sources, faulty := keys.ParseSources(texts)
	for i, err := range faulty {
		f.faults.add(at(path, i), err.Error())
	}
	return sources
}

// permissions reads a whole set of permissions.
func (f *fields) permissions(path string, v any) permission.Set {
	object, ok := v.(map[string]any)
	if !ok {
		return permission.Set{}
	}
	mode, err := permission.ParseMode(text(object["mode"]))
	if err != nil {
		return permission.Set{}
	}
	given, listed := object["apis"]
	path = join(path, "apis")
	if mode != permission.Restricted {
		if listed {
			f.faults.addf(path, "belongs to mode restricted only; the mode is %s", mode)
		}
		return permission.Set{Mode: mode}
	}
	apis, _ := given.(map[string]any)
	grants := make([]permission.Grant, 0, len(apis))
	for _, name := range sortedNames(apis) {
		if !f.declares(name) {
			f.faults.add(join(path, name), "no API of this name is declared in the configuration; GET /v1/apis lists those that are")
		}
		grants = append(grants, f.grant(join(path, name), name, apis[name]))
	}
	set, err := permission.NewRestricted(grants...)
	if err != nil {
		f.faults.add(path, err.Error())
	}
	return set
}

// grant reads the permissions on one API.
func (f *fields) grant(path, api string, v any) permission.Grant {
	object, _ := v.(map[string]any)
	given, listed := object["endpoints"]
	word := text(object["access"])
	if word != accessRestricted {
		if listed && word != "" {
			f.faults.add(join(path, "endpoints"), "belongs to access restricted only")
		}
		return permission.Grant{API: api, Access: access(word)}
	}
	grant := permission.Grant{API: api, ByEndpoint: true}
	endpoints, _ := given.(map[string]any)
	for id, word := range endpoints {
		grant.Endpoints = append(grant.Endpoints, permission.EndpointGrant{Endpoint: id, Access: access(word)})
	}
	return grant
}

// accessRestricted is the access to an API whose endpoints decide.
const accessRestricted = "restricted"

// text returns a string, "" for anything else.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// access reads an access; what is none is a fault that the schema has noted.
func access(v any) permission.Access {
	a, err := permission.ParseAccess(text(v))
	if err != nil {
		return permission.None
	}
	return a
}

// pairs reads metadata.
func pairs(v any) map[string]string {
	object, _ := v.(map[string]any)
	out := make(map[string]string, len(object))
	for name, value := range object {
		out[name] = text(value)
	}
	return out
}

// whole reads a whole number, which the schema has bounded.
func whole(v any) int64 {
	number, _ := v.(json.Number)
	value, err := number.Float64() // 1e3 is a whole number too
	if err != nil {
		return 0
	}
	return int64(value)
}

// digestOf reads the SHA-256 of a secret in hexadecimal.
func digestOf(v any) (keys.Digest, bool) {
	var digest keys.Digest
	raw, err := hex.DecodeString(text(v))
	if err != nil || len(raw) != len(digest) {
		return digest, false
	}
	copy(digest[:], raw)
	return digest, true
}
