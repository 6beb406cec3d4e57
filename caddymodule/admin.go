package caddymodule

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/admin/console"
	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/leak"
)

// Admin is the handler api_key_admin: the console, the admin API under /v1,
// its documentation and its health. It answers every request itself.
type Admin struct {
	config.Admin

	app     *App
	log     *zap.Logger
	slog    *slog.Logger
	keeper  *socketKeeper
	handler atomic.Pointer[http.Handler]
}

// CaddyModule returns the Caddy module information.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.api_key_admin", New: func() caddy.Module { return new(Admin) }}
}

// Provision finds the app, which makes the handler at its start.
func (a *Admin) Provision(ctx caddy.Context) error {
	a.log, a.slog = ctx.Logger(), ctx.Slogger()
	if err := a.Validate(); err != nil {
		return err
	}
	app, err := ctx.App(appName)
	if err != nil {
		return fmt.Errorf("loading the %s app: %w", appName, err)
	}
	a.app = app.(*App)
	a.app.admins = append(a.app.admins, a)
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	a.keeper = keepSocket(server, a.app, a.log)
	a.app.redactor.add(adminCredentials())
	a.app.redactor.wrapServers(ctx, a.log)
	a.app.redactor.wrapEarlier(ctx, a.log)
	return nil
}

// adminCredentials are where admin keys are presented: the contract's
// defaults, whatever the gateways of the configuration take.
func adminCredentials() gate.Credentials {
	c := config.DefaultCredentials()
	return gate.Credentials{Bearer: c.Bearer, Headers: c.Headers}
}

// open makes the admin API; the app calls it at its start.
func (a *Admin) open(e *engine, catalog *gate.Catalog) error {
	settings := a.app.settings
	leaks := config.Leaks{}
	if a.Leaks != nil {
		leaks = *a.Leaks
	}
	alerts, err := gitHubAlerts(leaks.GitHubKeys)
	if err != nil {
		return err
	}
	api, err := admin.New(admin.Options{
		Store:         e.store,
		Authenticator: gate.NewAuthenticator(adminCredentials(), settings.KeyPrefix, e.lookup).SeeClients(clientIP),
		Catalog:       func() *gate.Catalog { return catalog },
		Fleet:         e.member,
		KeyPrefix:     settings.KeyPrefix,
		ConfigAdmin:   configAdmin(settings.AdminKey),
		Ready:         e.ready,
		Logger:        a.slog,
		ClientIP:      clientIP,
		Used:          e.usage.Mark,
		Usage:         e.usage,
		Version:       version(),
		Sessions:      e.sessions,
		NoLeakReports: leaks.Off,
		Changed:       a.app.events.changed,
		GitHub:        alerts,
		Webhooks:      showWebhooks(a.app.webhooks),
		Redelivered:   e.hooks.Wake,
	})
	if err != nil {
		return err
	}
	handler, err := console.New(console.Options{
		API: api, Sessions: e.sessions, ClientIP: clientIP, Address: address, Logger: a.slog,
	})
	if err != nil {
		return err
	}
	a.handler.Store(&handler)
	return nil
}

// gitHubAlerts returns what verifies GitHub's alerts by the keys in a file; nil
// for none.
func gitHubAlerts(file string) (func(body []byte, id, signature string) error, error) {
	if file == "" {
		return nil, nil
	}
	file, err := caddy.NewReplacer().ReplaceOrErr(file, true, true)
	if err != nil {
		return nil, fmt.Errorf("leaks: github_keys: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("leaks: github_keys: %w", err)
	}
	known, err := leak.ParseGitHub(text)
	if err != nil {
		return nil, fmt.Errorf("leaks: github_keys %s: %w; expected what https://api.github.com/meta/public_keys/secret_scanning answers", file, err)
	}
	return known.Verify, nil
}

// address is where browsers reach this handler: a prefix that handle_path
// removed belongs to it, and the scheme that a trusted proxy speaks.
func address(r *http.Request) string {
	scheme := "http"
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if r.TLS != nil || trusted && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	prefix := ""
	if asked, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && asked.URL != nil {
		if before, found := strings.CutSuffix(asked.URL.Path, r.URL.Path); found {
			prefix = before
		}
	}
	return scheme + "://" + r.Host + prefix
}

// configAdmin returns the digest of the admin key of the configuration, nil
// for none.
func configAdmin(text string) *keys.Digest {
	if text == "" {
		return nil
	}
	secret, err := keys.ForeignSecret(text)
	if err != nil { // checked when the app was provisioned
		return nil
	}
	digest := secret.Digest()
	return &digest
}

// clientIP is the caller's address as Caddy judges it, trusted proxies and all.
func clientIP(r *http.Request) string {
	ip, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return ip
}

const modulePath = "github.com/caddy-keywarden/keywarden"

// version is the product's: what our own builds call themselves, else that of
// the module, which a Caddy with other plugins may have built in. What Caddy
// says of itself would be Caddy's.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknownVersion
	}
	return versionOf(info, caddy.CustomVersion)
}

const unknownVersion = "unknown"

func versionOf(info *debug.BuildInfo, custom string) string {
	if info.Main.Path == modulePath {
		return cmp.Or(custom, info.Main.Version, unknownVersion)
	}
	for _, module := range info.Deps {
		if module.Path == modulePath {
			if module.Replace != nil {
				module = module.Replace
			}
			return cmp.Or(module.Version, unknownVersion)
		}
	}
	return unknownVersion
}

// ServeHTTP answers as the admin API.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	a.keeper.partWith(w, r)
	recorder := caddyhttp.NewResponseRecorder(w, nil, nil)
	defer func() { adminRequestsTotal.WithLabelValues(statusLabel(recorder.Status())).Inc() }()
	e := a.app.ready(r.Context())
	if e == nil || !e.calls.enter() {
		unavailable := gate.Decision{}
		unavailable.WriteTo(recorder, "admin")
		return nil
	}
	defer e.calls.leave()
	(*a.handler.Load()).ServeHTTP(recorder, r)
	return nil
}

// statusLabel is a status as a label; nothing written is net/http's 200.
func statusLabel(status int) string {
	if status == 0 {
		status = http.StatusOK
	}
	return strconv.Itoa(status)
}

var (
	_ caddy.Provisioner           = (*Admin)(nil)
	_ caddyhttp.MiddlewareHandler = (*Admin)(nil)
	_ caddyfile.Unmarshaler       = (*Admin)(nil)
)
