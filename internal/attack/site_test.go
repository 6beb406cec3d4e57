package attack

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// site is one gateway with a host for each upstream.
type site struct {
	*e2e.Gateway
	address   string // of the gateway: host and port
	port      string
	upstreams []upstream
	callers   []caller
}

// newSite starts a gateway that guards the upstreams with what guard declares.
func newSite(t testing.TB, guard string, upstreams []upstream) *site {
	t.Helper()
	return startSite(t, "http", "h1 h2 h2c", guard, upstreams)
}

// startSite starts a gateway that speaks the given protocols.
func startSite(t testing.TB, scheme, protocols, guard string, upstreams []upstream) *site {
	t.Helper()
	var config strings.Builder
	fmt.Fprintf(&config, globalOptions, protocols)
	for i, u := range upstreams {
		fmt.Fprintf(&config, scheme+"://%s.localhost:8080 {\n\tbind 127.0.0.1\n%s%s\treverse_proxy %s\n}\n", hostOf(i), u.before, guard, u.address)
	}
	config.WriteString(adminSite)
	s := &site{Gateway: e2e.Start(t, e2e.Options{Config: config.String()}), upstreams: upstreams}
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.port = u.Port()
	s.address = "127.0.0.1:" + s.port
	return s
}

func hostOf(i int) string { return fmt.Sprintf("u%d", i) }

// host returns the Host header that leads to an upstream.
func (s *site) host(i int) string { return hostOf(i) + ".localhost:" + s.port }

const globalOptions = `{
	servers {
		protocols %s
	}
	local_certs
	skip_install_trust
	api_keys {
		store sqlite ./data/keys.db
	}
}
`

const adminSite = `
http://localhost:2020 {
	bind 127.0.0.1
	api_key_admin
}
`
