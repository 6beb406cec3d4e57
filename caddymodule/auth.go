package caddymodule

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

// Auth is the handler api_key_auth: only requests with a key that may do what
// they ask for reach the next handler, and with them who called.
type Auth struct {
	config.Auth

	app   *App
	table *route.Table
	realm string
	// logs says that this server writes an access log.
	logs   bool
	log    *zap.Logger
	keeper *socketKeeper
	// reportLog is where requests that would have been refused are logged.
	reportLog *zap.Logger
	// gate is made at the app's start, when there is something to look up in.
	gate atomic.Pointer[gate.Gate]
	// apis holds what is ready made for each API, and under "" for none.
	apis map[string]*apiRecord
}

// apiRecord is what requests of an API need and what does not change.
type apiRecord struct {
	counters apiCounters
	// name and endpoints are names as values of a variable: made once, because
	// an interface that holds a string is an allocation.
	name      any
	endpoints map[string]any // declared ones only
}

// endpoint returns an endpoint's name as a value of a variable.
func (a *apiRecord) endpoint(name string) any {
	if made := a.endpoints[name]; made != nil {
		return made
	}
	return name
}

// CaddyModule returns the Caddy module information.
func (*Auth) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.api_key_auth", New: func() caddy.Module { return new(Auth) }}
}

// Provision compiles the table of routes. The gate opens with the app.
func (h *Auth) Provision(ctx caddy.Context) error {
	h.log = ctx.Logger()
	if err := h.prepare(); err != nil {
		return err
	}
	app, err := ctx.App(appName)
	if err != nil {
		return fmt.Errorf("loading the %s app: %w", appName, err)
	}
	h.app = app.(*App)
	h.warn()
	h.app.auths = append(h.app.auths, h)
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	h.logs = server == nil || server.Logs != nil
	h.keeper = keepSocket(server, h.app, h.log)
	h.app.redactor.add(h.credentials())
	h.app.redactor.wrapServers(ctx, h.log)
	h.app.redactor.wrapEarlier(ctx, h.log)
	return nil
}

// prepare makes what follows from the configuration alone.
func (h *Auth) prepare() (err error) {
	if h.table, err = h.Compile(); err != nil {
		return err
	}
	h.realm = h.Realm
	if h.realm == "" {
		h.realm = config.DefaultRealm
	}
	h.apis = map[string]*apiRecord{"": {counters: apiCounters{reports: h.reports()}, name: ""}}
	for i := range h.APIs {
		api := &h.APIs[i]
		record := &apiRecord{counters: apiCounters{api: api.Name, reports: h.reports()}, name: api.Name, endpoints: map[string]any{"": ""}}
		for _, e := range api.Endpoints {
			record.endpoints[e.Name] = e.Name
		}
		h.apis[api.Name] = record
	}
	return nil
}

func (h *Auth) credentials() gate.Credentials {
	c := config.DefaultCredentials()
	if h.Credentials != nil {
		c = *h.Credentials
	}
	return gate.Credentials{Bearer: c.Bearer, Basic: c.Basic, Headers: c.Headers, Queries: c.Queries}
}

// open makes the gate; the app calls it at its start.
func (h *Auth) open(e *engine) *gate.Gate {
	authenticator := gate.NewAuthenticator(h.credentials(), h.app.settings.KeyPrefix, e.lookup).SeeClients(clientIP)
	if limit := h.FailLimit; limit != nil {
		authenticator.LimitFailures(gate.NewFailLimit(limit.Failures, limit.In))
	}
	g := gate.New(gate.Options{
		Authenticator: authenticator,
		Table:         h.table,
		Preflight:     h.Preflight == config.PreflightPass,
	})
	h.gate.Store(g)
	return g
}

// ServeHTTP lets r go on to next, or answers with the refusal. A refusal is
// an answer and no error, so that handle_errors leaves it as it is.
func (h *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	// First of all: whatever comes of the request, nothing behind this line
	// may take the client's word for who called.
	scrub(r)
	unescape(r)
	guardTrailers(r)
	h.keeper.partWith(w, r)

	if h.reports() {
		return h.report(w, r, next)
	}
	unjudged := r.Body
	body := bound(w, r)
	now := time.Now()
	d := h.decide(r, now)
	body.release(r)
	record := h.apis[d.API]
	record.counters.add(d.Needs, d.Outcome)
	if d.Asked {
		cacheCounters[d.Found].Inc()
	}
	var who *caller
	var vars map[string]any
	if d.Key != nil {
		who, vars = h.introduce(r, &d)
	}
	if !d.Allowed() {
		h.app.events.refused(&d, now)
		// Directives that run on the way back, such as log_append, need not
		// see what the access log does not show.
		h.strip(r)
		// The gate puts another body in the place of one that it has read.
		return h.refuse(w, r, &d, r.ContentLength != 0 && r.Body == unjudged)
	}
	if !h.ForwardCredential {
		h.strip(r)
	}
	if who == nil {
		return next.ServeHTTP(w, r)
	}
	who.announce(r, vars, &d, record)
	e := h.app.running.Load()
	if e == nil || h.CloseOnRevoke != nil && !*h.CloseOnRevoke {
		return next.ServeHTTP(w, r)
	}
	from, _ := vars[caddyhttp.ClientIPVarKey].(string)
	request := e.open.enter(who, w, r, &d, from, now)
	defer e.open.leave(request)
	return next.ServeHTTP(w, r)
}

// decide asks the gate. Without an engine (its start failed, or it has ended)
// the zero Decision stands: the store is unavailable.
func (h *Auth) decide(r *http.Request, now time.Time) gate.Decision {
	e := h.app.ready(r.Context())
	if e == nil || !e.calls.enter() {
		return gate.Decision{}
	}
	defer e.calls.leave()
	d := decideTraced(h.gate.Load(), r, now, h.reports())
	if d.Err != nil {
		e.fault("asking the key store")(d.Err)
	}
	if d.Key != nil {
		e.usage.Count(d.Key, keys.What{API: d.API, Endpoint: d.Endpoint, Access: d.Needs, Outcome: codeOf(d.Outcome, h.reports())}, now)
		if h.reports() && works(&d) { // whatever it was for, it went through
			e.usage.Mark(d.Key, now)
		}
	}
	return d
}

// refuse answers at once, whatever of the body is still to come.
func (h *Auth) refuse(w http.ResponseWriter, r *http.Request, d *gate.Decision, unread bool) error {
	// To use a connection again, net/http reads the rest of an HTTP/1 body
	// (256 KiB at most) before it sends the answer: a client that waits for
	// the answer first, or never sends, would wait for ever. Full-duplex mode
	// is no way out: reading the rest after the answer panics in Go 1.26
	// ("invalid concurrent Body.Read call").
	closing := unread && r.ProtoMajor == 1
	if closing {
		w.Header().Set("Connection", "close")
	}
	if gate.IsGRPC(r) {
		d.WriteGRPC(w, r)
	} else {
		d.WriteTo(w, h.realm)
	}
	if closing {
		linger(w, r)
	}
	return nil
}

// strip removes the credential, also from Caddy's copy of the original URL:
// php_fastcgi sends that on as REQUEST_URI, and an error route starts with it.
func (h *Auth) strip(r *http.Request) { h.stripBy(r, (*gate.Gate).Strip) }

func (h *Auth) stripBy(r *http.Request, strip func(*gate.Gate, *http.Request)) {
	g := h.gate.Load()
	if g == nil { // the start failed
		return
	}
	strip(g, r)
	if h.Credentials == nil || len(h.Credentials.Queries) == 0 {
		return
	}
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		strip(g, &http.Request{Header: http.Header{}, URL: original.URL})
	}
}

var (
	_ caddy.Provisioner           = (*Auth)(nil)
	_ caddyhttp.MiddlewareHandler = (*Auth)(nil)
	_ caddyfile.Unmarshaler       = (*Auth)(nil)
)
