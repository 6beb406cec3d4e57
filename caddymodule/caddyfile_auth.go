package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-keywarden/keywarden/config"
)

func parseAuth(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	auth := new(Auth)
	return auth, auth.UnmarshalCaddyfile(h.Dispenser)
}

func parseAdmin(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	admin := new(Admin)
	return admin, admin.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive. Syntax:
//
//	api_key_admin [<matcher>] {
//		leaks off
//		leaks {
//			github_keys <file>
//		}
//	}
func (a *Admin) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return newBlock("api_key_admin").once("leaks", a.readLeaks).read(d)
}

func (a *Admin) readLeaks(d *caddyfile.Dispenser) error {
	leaks := new(config.Leaks)
	a.Leaks = leaks
	if args := d.RemainingArgs(); len(args) > 0 {
		if len(args) > 1 || args[0] != "off" {
			return d.Errf("leaks: found %q; expected off, or a block", strings.Join(args, " "))
		}
		leaks.Off = true
	}
	err := newBlock("leaks").once("github_keys", text(&leaks.GitHubKeys, "a file")).read(d)
	if err != nil {
		return err
	}
	if err := a.Validate(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// UnmarshalCaddyfile reads the directive. Syntax:
//
//	api_key_auth [<matcher>] {
//		realm       <text>
//		credentials [bearer] [basic] [header <name>...] [query <name>...]
//		public      <pattern...>
//		preflight   pass|deny
//		forward_credential
//		enforce     on|off
//		report_header
//		close_on_revoke on|off
//		fail_limit  <number>/<s|m|h>
//
//		api <name> {
//			title    <text>
//			path     <pattern...>
//			endpoint <name> <pattern...>
//			read     [<method...>] <pattern...>
//			write    [<method...>] <pattern...>
//			graphql {
//				max_body <size>
//			}
//			jsonrpc {
//				read     <name...> [tools/call:<tool>...]
//				max_body <size>
//			}
//			grpc {
//				read <package.Service/Method...>
//			}
//		}
//	}
//
// public, api, path, endpoint, read and write may stand several times. The
// whole table is checked here, where lines are known: its faults come all at
// once, each with file and line.
func (h *Auth) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	start := where(d)
	err := newBlock("api_key_auth").
		once("realm", h.readRealm).
		once("credentials", h.readCredentials).
		several("public", h.readPublic).
		once("preflight", h.readPreflight).
		once("forward_credential", h.readForward).
		once("enforce", h.readEnforce).
		once("report_header", h.readReportHeader).
		once("close_on_revoke", h.readCloseOnRevoke).
		once("fail_limit", h.readFailLimit).
		several("api", h.readAPI).
		read(d)
	if err != nil {
		return err
	}
	_, err = h.Compile()
	return located(err, start)
}

func (h *Auth) readRealm(d *caddyfile.Dispenser) error {
	realm, err := argument(d, "a text, such as \"Acme API\"")
	if err != nil {
		return err
	}
	h.Realm = realm
	return located(config.CheckRealm(realm), where(d))
}

// readCredentials reads kinds in any order. Each name belongs to the header
// or query before it, so that both `header A header B` and `header A` read as
// they look; `header A B` is refused, as B could be meant as a kind.
func (h *Auth) readCredentials(d *caddyfile.Dispenser) error {
	const expected = "bearer, header NAME, query NAME or basic"
	args, err := arguments(d, expected)
	if err != nil {
		return err
	}
	c := new(config.Credentials)
	for i := 0; i < len(args); i++ {
		kind := args[i]
		switch kind {
		case "bearer", "basic":
			on := &c.Bearer
			if kind == "basic" {
				on = &c.Basic
			}
			if *on {
				return d.Errf("credentials: %s is listed twice; expected it once", kind)
			}
			*on = true
		case "header", "query":
			i++
			if i == len(args) {
				return d.Errf("credentials: found nothing after %s; expected a name", kind)
			}
			if kind == "header" {
				c.Headers = append(c.Headers, args[i])
			} else {
				c.Queries = append(c.Queries, args[i])
			}
		default:
			return d.Errf("credentials: found %q; expected %s", kind, expected)
		}
	}
	h.Credentials = c
	return located(c.Validate(), where(d))
}

func (h *Auth) readPublic(d *caddyfile.Dispenser) error {
	args, err := arguments(d, "patterns of paths")
	h.Public = append(h.Public, patterns(d, args)...)
	return err
}

func (h *Auth) readPreflight(d *caddyfile.Dispenser) error {
	word, err := choice(d, config.PreflightPass, config.PreflightDeny)
	h.Preflight = word
	return err
}

func (h *Auth) readForward(d *caddyfile.Dispenser) error {
	h.ForwardCredential = true
	return alone(d)
}

func (h *Auth) readEnforce(d *caddyfile.Dispenser) error {
	word, err := choice(d, config.EnforceOn, config.EnforceOff)
	h.Enforce = word
	return err
}

func (h *Auth) readReportHeader(d *caddyfile.Dispenser) error {
	h.ReportHeader = true
	return alone(d)
}

func (h *Auth) readCloseOnRevoke(d *caddyfile.Dispenser) error {
	word, err := choice(d, "on", "off")
	on := word == "on"
	h.CloseOnRevoke = &on
	return err
}

func (h *Auth) readFailLimit(d *caddyfile.Dispenser) error {
	arg, err := argument(d, "a limit, such as 20/m")
	if err != nil {
		return err
	}
	limit, err := config.ParseFailLimit(arg)
	if err != nil {
		return d.Errf("fail_limit: %w", err)
	}
	h.FailLimit = &limit
	return nil
}

func (h *Auth) readAPI(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Errf("api: found nothing after it; expected a name and a block")
	}
	api := config.API{Name: d.Val(), Where: where(d)}
	err := newBlock("api "+api.Name).
		once("title", text(&api.Title, "a text")).
		several("path", func(d *caddyfile.Dispenser) error {
			args, err := arguments(d, "patterns of paths")
			api.Paths = append(api.Paths, patterns(d, args)...)
			return err
		}).
		several("endpoint", func(d *caddyfile.Dispenser) error { return readEndpoint(d, &api) }).
		several("read", func(d *caddyfile.Dispenser) error { return readRule(d, &api) }).
		several("write", func(d *caddyfile.Dispenser) error { return readRule(d, &api) }).
		once("graphql", func(d *caddyfile.Dispenser) error { return readGraphQL(d, &api) }).
		once("jsonrpc", func(d *caddyfile.Dispenser) error { return readJSONRPC(d, &api) }).
		once("grpc", func(d *caddyfile.Dispenser) error { return readGRPC(d, &api) }).
		read(d)
	h.APIs = append(h.APIs, api)
	return err
}

func readEndpoint(d *caddyfile.Dispenser, api *config.API) error {
	args, err := arguments(d, "a name and patterns of paths")
	if err != nil {
		return err
	}
	if len(args) < 2 {
		return d.Errf("endpoint %s: found no pattern after it; expected patterns of paths", args[0])
	}
	api.Endpoints = append(api.Endpoints, config.Endpoint{Name: args[0], Paths: patterns(d, args[1:])})
	return nil
}

// readRule takes what stands before the first argument with a slash as
// methods.
func readRule(d *caddyfile.Dispenser, api *config.API) error {
	access := d.Val()
	args, err := arguments(d, "methods (or none, for all) and patterns of paths")
	if err != nil {
		return err
	}
	first := 0
	for first < len(args) && !strings.HasPrefix(args[first], "/") {
		first++
	}
	if first == len(args) {
		return d.Errf("%s %s: found no pattern; expected one that begins with /", access, strings.Join(args, " "))
	}
	api.Rules = append(api.Rules, config.Rule{Access: access, Methods: args[:first:first], Paths: patterns(d, args[first:])})
	return nil
}

func readGraphQL(d *caddyfile.Dispenser, api *config.API) error {
	api.GraphQL = new(config.GraphQL)
	return newBlock("graphql").once("max_body", size(&api.GraphQL.MaxBody)).read(d)
}

func readJSONRPC(d *caddyfile.Dispenser, api *config.API) error {
	api.JSONRPC = new(config.JSONRPC)
	return newBlock("jsonrpc").
		several("read", func(d *caddyfile.Dispenser) error {
			args, err := arguments(d, "names of methods")
			api.JSONRPC.Read = append(api.JSONRPC.Read, args...)
			return err
		}).
		once("max_body", size(&api.JSONRPC.MaxBody)).
		read(d)
}

func readGRPC(d *caddyfile.Dispenser, api *config.API) error {
	api.GRPC = new(config.GRPC)
	return newBlock("grpc").
		several("read", func(d *caddyfile.Dispenser) error {
			args, err := arguments(d, "names of methods, such as package.Service/Method")
			api.GRPC.Read = append(api.GRPC.Read, args...)
			return err
		}).
		read(d)
}
