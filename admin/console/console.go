// Package console is the web console: pages made on the server, which people
// manage keys with. Whatever it does, it does by calling the admin API with the
// session of whoever asks, so that it has no rules and no rights of its own.
// It keeps nothing.
package console

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// Options are what the console works with. API and Sessions must be given.
type Options struct {
	API      http.Handler
	Sessions *admin.Sessions
	// ClientIP is the caller's address, for throttling; nil: nobody's.
	ClientIP func(*http.Request) string
	// Address is where browsers reach the console, without a slash at its end:
	// https://keys.example.com/admin; nil: scheme and host of the request.
	Address func(*http.Request) string
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // technical faults; nil: none
}

// console answers the requests of browsers, and leaves the rest to the API.
type console struct {
	Options
	look   *look
	routes map[string]map[string]func(*visit) error // by path and method
}

// New returns the console, and behind it the API.
func New(o Options) (http.Handler, error) {
	if o.API == nil || o.Sessions == nil {
		return nil, errors.New("making the console: an API and sessions are needed")
	}
	if o.ClientIP == nil {
		o.ClientIP = func(*http.Request) string { return "" }
	}
	if o.Address == nil {
		o.Address = addressOf
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	look, err := newLook()
	if err != nil {
		return nil, err
	}
	c := &console{Options: o, look: look}
	c.routes = map[string]map[string]func(*visit) error{
		"/":         {http.MethodGet: (*visit).listKeys},
		"/key":      {http.MethodGet: (*visit).showKey},
		"/new":      {http.MethodGet: (*visit).newKey, http.MethodPost: (*visit).createKey},
		"/edit":     {http.MethodGet: (*visit).editKey, http.MethodPost: (*visit).updateKey},
		"/switch":   {http.MethodGet: (*visit).askSwitch, http.MethodPost: (*visit).switchKey},
		"/rotate":   {http.MethodGet: (*visit).askRotate, http.MethodPost: (*visit).rotateKey},
		"/delete":   {http.MethodGet: (*visit).askDelete, http.MethodPost: (*visit).deleteKey},
		"/apis":     {http.MethodGet: (*visit).listAPIs},
		"/endpoint": {http.MethodGet: (*visit).askEndpoint, http.MethodPost: (*visit).putEndpoint},
		"/forget":   {http.MethodGet: (*visit).askForget, http.MethodPost: (*visit).forgetEndpoint},
		"/try":      {http.MethodGet: (*visit).tryForm, http.MethodPost: (*visit).try},
		"/audit":    {http.MethodGet: (*visit).listAudit},
	}
	return c, nil
}

func addressOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// policy lets pages load what is embedded, and talk to where they came from.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// sameOrigin refuses what a page of another origin asks a browser to change:
// signing in and out included, which the API does not see.
var sameOrigin = http.NewCrossOriginProtection()

// ServeHTTP answers a browser.
func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if path == "" { // handle_path took all of it
		path = "/"
	}
	if name, ok := strings.CutPrefix(path, "/assets/"); ok {
		c.look.serveAsset(w, r, name)
		return
	}
	methods := c.routes[path]
	door := path == "/signin" || path == "/signout"
	if methods == nil && !door {
		c.API.ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not no-referrer: browsers would send Origin: null, by which we could
	// not tell our own forms from another site's.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	v := &visit{console: c, w: w, r: r, now: c.Now()}
	if err := sameOrigin.Check(r); err != nil {
		v.page(http.StatusForbidden, "error", fault{Title: "Cross-origin request", Detail: "A page of another site asked for this. Nothing was done."})
		return
	}
	if door {
		v.serveDoor(path)
		return
	}
	serve := methods[r.Method]
	if r.Method == http.MethodHead {
		serve = methods[http.MethodGet]
	}
	if serve == nil {
		v.page(http.StatusMethodNotAllowed, "error", fault{Title: "Method not allowed", Detail: "This page does not take " + r.Method + "."})
		return
	}
	if err := v.begin(); err != nil {
		v.fail(err)
		return
	}
	if err := serve(v); err != nil {
		v.fail(err)
	}
}

// visit is one request of a browser.
type visit struct {
	*console
	w      http.ResponseWriter
	r      *http.Request
	now    time.Time
	client *admin.Client // calls the API with the visitor's session
	me     admin.Whoami
	form   url.Values
}

// maxForm bounds what is read of a form, as the API bounds what it takes.
const maxForm = 256 << 10

// begin finds out who asks, and reads the form.
func (v *visit) begin() (err error) {
	if v.client, err = admin.InProcess(v.API, v.r, ""); err != nil {
		return err
	}
	if v.me, _, err = v.client.Whoami(v.r.Context()); err != nil {
		return err
	}
	if v.r.Method == http.MethodPost {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	}
	if err := v.r.ParseForm(); err != nil {
		return &admin.Problem{Status: http.StatusBadRequest, Code: "invalid_form", Title: "Invalid form", Detail: "The form could not be read."}
	}
	v.form = v.r.Form
	return nil
}

// partial reports whether a script asks for a part of a page.
func (v *visit) partial() bool { return v.r.Header.Get("HX-Request") == "true" }

// mayChange reports whether the visitor's admin key may change anything.
func (v *visit) mayChange() bool { return v.me.Admin == "write" }

// site is where the browser keeps the session's cookie to.
func (v *visit) site() admin.Site {
	address, err := url.Parse(v.Address(v.r))
	if err != nil {
		return admin.Site{Path: "/"}
	}
	return admin.Site{Path: address.Path + "/", HTTPS: address.Scheme == "https"}
}
