package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Names of request variables; the placeholders are {http.vars.NAME}.
const (
	varAPI      = "api_key.api"
	varEndpoint = "api_key.endpoint"
	varAccess   = "api_key.access"
	// varCaller holds the *caller, so that of two handlers on one request the
	// last one counts.
	varCaller = "api_key.caller"
)

// Placeholders of who called.
const (
	userID    = "http.auth.user.id"
	userOwner = "http.auth.user.owner"
	userName  = "http.auth.user.name"
)

// caller is who called. It is one allocation a request, and also holds the
// values of the identity headers: a header needs a slice, and slices of this
// array cost nothing.
type caller struct {
	key     *keys.Identity
	headers [5]string
	// request is the request, while it is under way.
	request openRequest
}

// placeholder answers {http.auth.user.*}; it is called only where one is used.
func (c *caller) placeholder(name string) (any, bool) {
	switch name {
	case userID:
		return string(c.key.ID()), true
	case userOwner:
		return c.key.Owner(), true
	case userName:
		return c.key.Name(), true
	}
	return nil, false
}

// introduce makes the caller known to logs and placeholders, also where the
// request is refused. It returns the request's variables, nil where it is not
// Caddy's server that runs the handler.
func (h *Auth) introduce(r *http.Request, d *gate.Decision) (c *caller, vars map[string]any) {
	ctx := r.Context()
	if h.logs {
		if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
			extra.Set(zap.String("api_key_id", string(d.Key.ID())))
		}
	}
	vars, _ = ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	if known, ok := vars[varCaller].(*caller); ok {
		known.key = d.Key
		return known, vars
	}
	c = &caller{key: d.Key}
	if vars != nil {
		vars[varCaller] = c
	}
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		// An earlier handler, such as basic_auth, may have set them; what is
		// set goes before what is mapped.
		repl.Delete(userID)
		repl.Delete(userOwner)
		repl.Delete(userName)
		repl.Map(c.placeholder)
	}
	return c, vars
}

// accessWords are the accesses as values of a variable and of a header.
var accessWords = [...]any{permission.None: "none", permission.Read: "read", permission.Write: "write"}

// announce tells the upstream, and other handlers by the request's variables,
// who called and what for.
func (c *caller) announce(r *http.Request, vars map[string]any, d *gate.Decision, api *apiRecord) {
	if vars != nil {
		vars[varAPI] = api.name
		vars[varAccess] = accessWords[d.Needs]
		vars[varEndpoint] = api.endpoint(d.Endpoint)
	}
	c.set(r.Header, 0, "X-Auth-Key-Id", headerValue(string(d.Key.ID())))
	c.set(r.Header, 1, "X-Auth-Key-Owner", headerValue(d.Key.Owner()))
	c.set(r.Header, 2, "X-Auth-Api", d.API) // a name of an API has nothing to encode
	c.set(r.Header, 3, "X-Auth-Endpoint", headerValue(d.Endpoint))
	if d.Needs != permission.None { // which it is on a path of no API
		c.set(r.Header, 4, "X-Auth-Access", d.Needs.String())
	}
}

// set sets one identity header; the name is canonical, the slice full, so that
// adding a value to the header elsewhere copies it.
func (c *caller) set(h http.Header, i int, name, value string) {
	if value == "" {
		return
	}
	c.headers[i] = value
	h[name] = c.headers[i : i+1 : i+1]
}

// headerValue percent-encodes what a header can't carry as it is: non-ASCII
// and control characters, spaces at the ends, which would be trimmed, and the
// percent sign itself, so that decoding gives back exactly what was stored.
func headerValue(s string) string {
	for i := range len(s) {
		if !plain[s[i]] && mustEncode(s, i) {
			return encoded(s)
		}
	}
	return s
}

// plain marks what is never encoded, wherever it stands: nearly all there is.
var plain = func() (marked [256]bool) {
	for c := '!'; c <= '~'; c++ {
		marked[c] = c != '%'
	}
	return marked
}()

func encoded(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; mustEncode(s, i) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func mustEncode(s string, i int) bool {
	c := s[i]
	return c < ' ' || c > '~' || c == '%' || c == ' ' && (i == 0 || i == len(s)-1)
}
