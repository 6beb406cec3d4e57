package admin

import (
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// showKey returns a key as the API shows it at the given time.
func showKey(k *keys.Key, now time.Time) Key {
	return Key{
		ID: string(k.ID), Name: k.Name, Owner: k.Owner, Prefix: k.Prefix,
		Permissions: showPermissions(k.Permissions), Admin: k.Admin.String(),
		Enabled: k.Enabled, Status: string(k.Status(now)), Legacy: k.Legacy,
		ExpiresAt: showTime(k.ExpiresAt), CreatedAt: k.CreatedAt.UTC(), UpdatedAt: k.UpdatedAt.UTC(),
		CreatedBy: string(k.CreatedBy), LastUsedAt: showTime(k.LastUsedAt),
		Rotation: showRotation(k.Rotation), Metadata: showMetadata(k.Metadata),
		Sources: k.Sources.Strings(),
	}
}

func showKeys(ks []*keys.Key, now time.Time) []Key {
	out := make([]Key, len(ks))
	for i, k := range ks {
		out[i] = showKey(k, now)
	}
	return out
}

// showPermissions returns a set as the API shows it: a restricted set always
// has its list, even an empty one.
func showPermissions(set permission.Set) Permissions {
	out := Permissions{Mode: set.Mode.String()}
	if set.Mode != permission.Restricted {
		return out
	}
	out.APIs = make(map[string]APIPermissions, len(set.APIs))
	for _, grant := range set.APIs {
		out.APIs[grant.API] = showGrant(grant)
	}
	return out
}

func showGrant(grant permission.Grant) APIPermissions {
	if !grant.ByEndpoint {
		return APIPermissions{Access: grant.Access.String()}
	}
	out := APIPermissions{Access: accessRestricted, Endpoints: make(map[string]string, len(grant.Endpoints))}
	for _, e := range grant.Endpoints {
		out.Endpoints[e.Endpoint] = e.Access.String()
	}
	return out
}

func showRotation(r *keys.Rotation) *Rotation {
	if r == nil {
		return nil
	}
	return &Rotation{PreviousPrefix: r.PreviousPrefix, PreviousExpiresAt: r.PreviousExpiresAt.UTC()}
}

func showMetadata(pairs map[string]string) map[string]string {
	if pairs == nil {
		return map[string]string{}
	}
	return pairs
}

// showTime returns nil, which is written as null, for the zero time.
func showTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// orNull returns nil, which is written as null, for "".
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
