// Package caddymodule fits Keywarden into Caddy: the app api_keys, the
// handlers api_key_auth and api_key_admin, their Caddyfile, and what only the
// server can do for them (headers, placeholders, metrics, traces, logs that
// hold no secret). It decides nothing itself; package gate does.
package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Auth))
	caddy.RegisterModule(new(Admin))

	httpcaddyfile.RegisterGlobalOption(appName, parseGlobalOption)
	httpcaddyfile.RegisterHandlerDirective("api_key_auth", parseAuth)
	httpcaddyfile.RegisterHandlerDirective("api_key_admin", parseAdmin)

	// After method, rewrite, uri, try_files and request_header, so that what
	// is judged is what goes on; before everything that answers, and before
	// handle and route, so that one line protects the whole site.
	httpcaddyfile.RegisterDirectiveOrder("api_key_auth", httpcaddyfile.After, "request_header")
	httpcaddyfile.RegisterDirectiveOrder("api_key_admin", httpcaddyfile.Before, "reverse_proxy")
}
