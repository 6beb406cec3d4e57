package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// How long an operation may take once its body is read: a caller of a store
// that hangs should hear so. An import of 10 000 keys takes 5 s here, and a
// slow disk must not keep anybody from it.
const (
	maxTime       = 30 * time.Second
	maxImportTime = 5 * time.Minute
)

// call is one request of the admin API, authenticated and read.
type call struct {
	ctx     context.Context
	request *http.Request
	now     time.Time
	actor   *keys.Identity // who calls; nil where no key is needed
	path    captured
	query   query
	body    any         // what was sent; it has the schema's shape where faults says nothing else
	faults  *faults     // of query and body so far
	header  http.Header // of the answer
	changes []Change    // that it made
	others  *declared   // what other nodes declare, once that was asked for
}

// endpoint returns the handler of an operation.
func (a *api) endpoint(o *operation) func(http.ResponseWriter, *http.Request, captured) {
	return func(w http.ResponseWriter, r *http.Request, path captured) {
		c := &call{request: r, now: a.now(), path: path, faults: &faults{}, header: w.Header()}
		defer a.tell(c)
		answer, err := a.serve(o, c, w)
		if err != nil {
			a.writeError(w, r, err)
			return
		}
		a.write(w, r, o.status, answer)
	}
}

// serve does what every operation needs, in the order in which refusals are
// due: who calls, whether they may, what they ask for.
func (a *api) serve(o *operation, c *call, w http.ResponseWriter) (any, error) {
	r := c.request
	if o.access != permission.None {
		actor, err := a.authenticate(r, c.now, o.access)
		if err != nil {
			return nil, err
		}
		c.actor = actor
	}
	if o.turn != nil {
		if err := o.turn(c); err != nil {
			return nil, err
		}
	}
	c.query = a.readQuery(r.URL.RawQuery, o.query, c.faults)
	if o.body != nil {
		body, err := o.readBody(w, r)
		if err != nil {
			return nil, err
		}
		c.body = body
		a.schemas.check(o.schema, "", body, c.faults)
	}
	// A body may take its time to come; what is written counts from now.
	c.now = a.now()
	ctx, cancel := context.WithTimeout(r.Context(), o.maxTime())
	defer cancel()
	c.ctx = ctx
	answer, err := o.serve(c)
	if err == nil && o.prefers {
		a.awaitNodes(r.Context(), c)
	}
	return answer, err
}

// now is the time to the millisecond, as stores keep it.
func (a *api) now() time.Time { return a.Now().UTC().Truncate(time.Millisecond) }

// configIdentity is the admin key of the configuration, which is not stored.
var configIdentity = keys.NewIdentity(keys.Digest{},
	keys.Names{ID: keys.ConfigID, Name: string(keys.ConfigID), Prefix: string(keys.ConfigID)},
	&keys.Rights{Admin: permission.Write, Enabled: true}, 0)

// authenticate returns who calls, if their admin access is enough. Changes
// need write, the highest there is: so nobody can give admin access that they
// don't hold themselves.
func (a *api) authenticate(r *http.Request, now time.Time, needs permission.Access) (*keys.Identity, error) {
	actor, err := a.identify(r, now)
	if err != nil {
		return nil, err
	}
	if actor.Admin < needs {
		return nil, &deniedError{gate.Decision{
			Outcome: gate.InsufficientAccess, Key: actor, API: "admin", Needs: needs, Has: actor.Admin,
		}}
	}
	if a.Used != nil && actor != configIdentity {
		a.Used(actor, now)
	}
	return actor, nil
}

// identify returns whose key, or else whose session, r presents.
func (a *api) identify(r *http.Request, now time.Time) (*keys.Identity, error) {
	is, spent := a.isConfigAdmin(r, now)
	if is {
		return configIdentity, nil
	}
	if a.Sessions != nil {
		if _, count := a.Authenticator.Presented(r); count == 0 {
			if digest, ok := a.Sessions.find(r, now); ok {
				return a.identifySession(r, &digest, now)
			}
		}
	}
	d := a.guesses.judged(a.Authenticator.Authenticate(r, now), spent)
	if !d.Allowed() {
		return nil, &deniedError{d}
	}
	return d.Key, nil
}

// crossOrigin refuses changes that a page of another origin asks for: browsers
// send the session's cookie along, also from other ports of the same host,
// which SameSite takes for the same site.
var crossOrigin = http.NewCrossOriginProtection()

// identifySession judges the key that opened the session as if it had been
// presented now. A key that opens nothing any more ends its sessions; a store
// that can't be asked does not.
func (a *api) identifySession(r *http.Request, digest *keys.Digest, now time.Time) (*keys.Identity, error) {
	if err := crossOrigin.Check(r); err != nil {
		return nil, errCrossOrigin
	}
	if a.ConfigAdmin != nil && digest.Is(a.ConfigAdmin) {
		return configIdentity, nil
	}
	d := a.Authenticator.AuthenticateDigest(r, digest, now)
	if d.Allowed() && d.Key.Admin != permission.None {
		return d.Key, nil
	}
	if d.Outcome != gate.StoreUnavailable {
		a.Sessions.end(r)
	}
	if d.Allowed() {
		return d.Key, nil // authenticate says what is missing
	}
	return nil, &deniedError{d}
}

// readBody reads the body as JSON, or says why it can't be read.
func (o *operation) readBody(w http.ResponseWriter, r *http.Request) (any, error) {
	if r.ContentLength > o.maxBody {
		return nil, o.tooLarge()
	}
	if !o.optionalBody && !isJSON(r.Header) {
		return nil, errNotJSON
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, o.maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, o.tooLarge()
	case err != nil:
		return nil, invalidJSON(errors.New("the body ended early"))
	case o.optionalBody && len(text) == 0:
		return map[string]any{}, nil
	case !isJSON(r.Header):
		return nil, errNotJSON
	}
	if o.vouched != nil {
		if err := o.vouched(r, text); err != nil {
			return nil, err
		}
	}
	value, err := readJSON(text)
	if err != nil {
		return nil, invalidJSON(err)
	}
	return value, nil
}

func (o *operation) tooLarge() *refusal {
	return refusef(http.StatusRequestEntityTooLarge, gate.BodyTooLarge.Code(), "Body too large",
		"the body may have at most %d KiB", o.maxBody>>10)
}

// isJSON reports whether a body is declared as JSON in UTF-8, not compressed.
func isJSON(h http.Header) bool {
	types := h.Values("Content-Type")
	if len(types) != 1 || h.Get("Content-Encoding") != "" {
		return false
	}
	media, parameters, err := mime.ParseMediaType(types[0])
	if err != nil || media != "application/json" && media != "application/merge-patch+json" {
		return false
	}
	charset, given := parameters["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// write answers with a value as JSON; nil has no body.
func (a *api) write(w http.ResponseWriter, r *http.Request, status int, answer any) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if answer == nil {
		w.WriteHeader(status)
		return
	}
	body, err := json.Marshal(answer)
	if err != nil { // a stored audit text that is no JSON
		a.writeError(w, r, err)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		// An error here means that the client has gone: nobody is left to tell.
		_, _ = w.Write(body)
	}
}
