package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// httpConfig is what must be known of Caddy's http app to find a handler.
type httpConfig struct {
	HTTPPort int                     `json:"http_port"`
	Servers  map[string]serverConfig `json:"servers"`
}

type serverConfig struct {
	Listen      []string          `json:"listen"`
	Routes      []routeConfig     `json:"routes"`
	TLSPolicies []json.RawMessage `json:"tls_connection_policies"`
	AutoHTTPS   struct {
		Disabled bool     `json:"disable"`
		Skip     []string `json:"skip"`
	} `json:"automatic_https"`
}

type routeConfig struct {
	Match []struct {
		Host []string `json:"host"`
	} `json:"match"`
	Handle []handlerConfig `json:"handle"`
}

type handlerConfig struct {
	Handler string        `json:"handler"`
	Routes  []routeConfig `json:"routes"`
	// Strip is what handle_path takes off the path before the handler.
	Strip string `json:"strip_path_prefix"`
}

// adminAddress returns where the admin API of a configuration is reached from
// this machine.
func adminAddress(app json.RawMessage) (string, error) {
	var http httpConfig
	if len(app) > 0 {
		if err := json.Unmarshal(app, &http); err != nil {
			return "", err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(http.Servers)) {
		server := http.Servers[name]
		host, path, found := findAdmin(server.Routes, "", "")
		if !found {
			continue
		}
		return server.address(host, path, http.HTTPPort)
	}
	return "", errors.New("no api_key_admin in it; expected a site that serves the admin API")
}

// findAdmin returns the host that the route to api_key_admin asks for, and the
// path that it takes off.
func findAdmin(routes []routeConfig, host, path string) (string, string, bool) {
	for _, r := range routes {
		inHost, inPath := host, path
		for _, m := range r.Match {
			if len(m.Host) > 0 {
				inHost = m.Host[0]
			}
		}
		for _, h := range r.Handle {
			inPath += h.Strip
			if len(r.Match) == 0 {
				path += h.Strip // handle_path strips in a route of its own, for those after it
			}
			if h.Handler == "api_key_admin" {
				return inHost, inPath, true
			}
			if foundHost, foundPath, ok := findAdmin(h.Routes, inHost, inPath); ok {
				return foundHost, foundPath, true
			}
		}
	}
	return "", "", false
}

func (s *serverConfig) address(host, path string, httpPort int) (string, error) {
	if len(s.Listen) == 0 {
		return "", errors.New("the server of api_key_admin listens nowhere")
	}
	listen, err := caddy.ParseNetworkAddress(s.Listen[0])
	if err != nil {
		return "", fmt.Errorf("the address %q of the server of api_key_admin: %w", s.Listen[0], err)
	}
	if listen.IsUnixNetwork() || listen.IsFdNetwork() {
		return "", fmt.Errorf("api_key_admin is served on %s; expected a TCP address", s.Listen[0])
	}
	if httpPort == 0 {
		httpPort = 80
	}
	port := int(listen.StartPort)
	secure := len(s.TLSPolicies) > 0 ||
		host != "" && port != httpPort && !s.AutoHTTPS.Disabled && !slices.Contains(s.AutoHTTPS.Skip, host)
	scheme, usual := "http", 80
	if secure {
		scheme, usual = "https", 443
	}
	if host == "" || strings.ContainsAny(host, "*{") {
		host = listen.Host
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	if port != usual {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + strings.TrimSuffix(path, "/"), nil
}
