package admin

import (
	"net/http"
	"net/netip"
	"net/url"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// checkKey is POST /v1/keys/check: the decision that the gateway would take.
// It changes nothing, last_used_at included.
func (a *api) checkKey(c *call) (any, error) {
	object, _ := c.body.(map[string]any)
	_, hasSecret := object["secret"]
	_, hasID := object["id"]
	if _, isObject := c.body.(map[string]any); isObject && hasSecret == hasID {
		c.faults.add("secret", "expected either secret or id, and not both")
	}
	if ip, given := object["ip"].(string); given {
		if _, err := netip.ParseAddr(ip); err != nil {
			c.faults.add("ip", "expected an address, such as 203.0.113.7 or 2001:db8::1")
		}
	}
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	identify := a.identifySecret
	given := text(object["secret"])
	if hasID {
		identify, given = a.identifyID, text(object["id"])
	}
	identity, err := identify(c, given)
	if err != nil {
		return nil, err
	}
	from := text(object["ip"])
	answer := showDecision(a.Catalog().Check(identity, text(object["method"]), text(object["path"]), from, c.now))
	if answer.Allowed && identity != nil && identity.Sources != "" && from == "" {
		answer.Detail += ", from the networks that the key is limited to; give ip to judge an address"
	}
	return answer, nil
}

// identifySecret looks a secret up just as the gateway does for a request
// that carries it; nil where it is unknown.
func (a *api) identifySecret(c *call, given string) (*keys.Identity, error) {
	if _, err := keys.ForeignSecret(given); err != nil {
		return nil, nil //nolint:nilerr // no request can carry it
	}
	r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}}).WithContext(c.ctx)
	r.Header.Set("Authorization", "Bearer "+given)
	d := a.Authenticator.Authenticate(r, c.now)
	if d.Outcome == gate.StoreUnavailable {
		return nil, &deniedError{d}
	}
	return d.Key, nil
}

// identifyID makes the identity that the key's current secret has.
func (a *api) identifyID(c *call, id string) (*keys.Identity, error) {
	k, err := a.Store.Get(c.ctx, keys.ID(id), c.now)
	if err != nil {
		return nil, err
	}
	expiresAt := int64(0)
	if !k.ExpiresAt.IsZero() {
		expiresAt = k.ExpiresAt.UnixMilli()
	}
	return keys.NewIdentity(keys.Digest{}, keys.Names{ID: k.ID, Name: k.Name, Owner: k.Owner, Prefix: k.Prefix},
		&keys.Rights{Permissions: k.Permissions, Admin: k.Admin, Enabled: k.Enabled, Sources: k.Sources}, expiresAt), nil
}

func showDecision(d gate.Decision) CheckAnswer {
	detail := d.Detail()
	if d.Public {
		detail = "allowed: the path is public and needs no key"
	}
	return CheckAnswer{
		Allowed: d.Allowed(), Status: d.Outcome.Status(), Code: d.Outcome.Code(), Detail: detail,
		API: d.API, Endpoint: d.Endpoint, Needs: d.Needs.String(), Has: d.Has.String(),
	}
}
