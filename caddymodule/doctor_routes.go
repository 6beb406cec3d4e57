package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-keywarden/keywarden/config"
)

// examinedServer is what an examination looks at in a server.
type examinedServer struct {
	Listen         []string        `json:"listen"`
	Routes         []examinedRoute `json:"routes"`
	TrustedProxies *struct {
		Source string   `json:"source"`
		Ranges []string `json:"ranges"`
	} `json:"trusted_proxies"`
	Strict int `json:"trusted_proxies_strict"`
}

type examinedRoute struct {
	Match  []map[string]json.RawMessage `json:"match"`
	Handle []examinedHandler            `json:"handle"`
}

type examinedHandler struct {
	Handler string          `json:"handler"`
	Enforce string          `json:"enforce"` // of api_key_auth
	Routes  []examinedRoute `json:"routes"`
}

// walk calls visit with each handler, in the order in which requests meet
// them, and with whether a path stands before it.
func walk(routes []examinedRoute, narrowed bool, visit func(h *examinedHandler, narrowed bool)) {
	for _, r := range routes {
		inner := narrowed
		for _, m := range r.Match {
			for name := range m {
				inner = inner || strings.HasPrefix(name, "path")
			}
		}
		for i := range r.Handle {
			h := &r.Handle[i]
			visit(h, inner)
			walk(h.Routes, inner, visit)
		}
	}
}

// routes looks at what stands behind api_key_auth, and who is believed to call.
func (e *examination) routes(text []byte) {
	var root struct {
		Apps struct {
			HTTP struct {
				Servers map[string]*examinedServer `json:"servers"`
			} `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		e.fault("routes", err.Error(), "mend the configuration")
		return
	}
	guarded := 0
	servers := root.Apps.HTTP.Servers
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		s := servers[name]
		auth, open, admin := false, false, false
		walk(s.Routes, false, func(h *examinedHandler, narrowed bool) {
			switch h.Handler {
			case "api_key_auth":
				auth = true
				guarded++
				if h.Enforce == config.EnforceOff {
					e.note("routes", s.where()+": enforce off: every request is let through, with or without a key", "remove enforce off when nobody comes without a key any more")
				}
				if narrowed {
					e.note("routes", fmt.Sprintf("%s: api_key_auth stands behind a path matcher: other paths are not judged at all", s.where()),
						"leave the matcher out, unless that is what you mean; public paths belong into api_key_auth as public")
				}
			case "api_key_admin":
				admin = true
			case "reverse_proxy", "php_fastcgi", "file_server":
				open = open || !auth
			}
		})
		if open {
			e.note("routes", s.where()+": something is served there without api_key_auth before it", "put api_key_auth before it, or let it be open")
		}
		if auth || admin {
			e.proxies(s)
		}
		if admin {
			e.adminListens(s)
		}
	}
	if guarded == 0 {
		e.fault("routes", "no api_key_auth in it: nothing is guarded", "put api_key_auth before reverse_proxy")
		return
	}
	e.fine("routes", "%d api_key_auth", guarded)
}

func (s *examinedServer) where() string { return strings.Join(s.Listen, ", ") }

// proxies looks at whom a server believes about clients' addresses.
func (e *examination) proxies(s *examinedServer) {
	switch {
	case s.TrustedProxies == nil:
		e.note("proxies", s.where()+": no proxy is trusted, a client is whoever connects", "if another proxy or a load balancer stands in front, name it in trusted_proxies")
	case slices.ContainsFunc(s.TrustedProxies.Ranges, everyone):
		e.fault("proxies", s.where()+": every address is trusted as a proxy: any client can say who it is", "name the addresses of your proxies in trusted_proxies")
	case s.Strict == 0:
		e.note("proxies", s.where()+": X-Forwarded-For is read from its left, which clients can write", "set trusted_proxies_strict, unless your proxies overwrite the header")
	default:
		e.fine("proxies", "%s: %d ranges are trusted", s.where(), len(s.TrustedProxies.Ranges))
	}
}

// everyone says whether a range holds half of all addresses or more.
func everyone(text string) bool {
	prefix, err := netip.ParsePrefix(text)
	return err == nil && prefix.Bits() <= 1
}

// adminListens warns of an admin API that others can reach without TLS.
func (e *examination) adminListens(s *examinedServer) {
	for _, text := range s.Listen {
		address, err := caddy.ParseNetworkAddress(text)
		if err != nil || address.IsUnixNetwork() || address.IsFdNetwork() {
			continue
		}
		if ip, err := netip.ParseAddr(address.Host); address.Host != "localhost" && (err != nil || !ip.IsLoopback()) {
			e.note("admin", text+": the admin API can be reached from other machines", "bind it to 127.0.0.1, or serve it over HTTPS to those who need it")
			return
		}
	}
	e.fine("admin", "the admin API listens on this machine only")
}
