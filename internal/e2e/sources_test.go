package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// sourcesConfig has a front proxy on this machine that it trusts, and a site
// that is reached by a socket, whose clients have no address.
const sourcesConfig = `{
	servers {
		%s
	}
	api_keys {
		store sqlite ./data/keys.db
	}
}

(protected) {
	api_key_auth {
		api rest {
			path /rest/*
		}
	}
	reverse_proxy 127.0.0.1:9000
}

http://localhost:8080 {
	bind 127.0.0.1
	import protected
}

http://socket.test {
	bind unix/./front.sock
	import protected
}

http://localhost:2020 {
	bind 127.0.0.1
	api_key_admin
}
`

func TestKeyWorksOnlyFromItsNetworks(t *testing.T) {
	upstream := NewUpstream(t)
	forwarded := func(from string) Header { return Header{"X-Forwarded-For", from} }
	for name, c := range map[string]struct {
		options     string
		allowed     []string
		address     string
		allowedFrom []Header
		refusedFrom []Header
	}{
		"nobody is trusted": {
			"", []string{"127.0.0.0/8"}, "", []Header{forwarded("203.0.113.9")}, nil,
		},
		"what a client says of itself counts for nothing": {
			"", []string{"203.0.113.0/24"}, "127.0.0.1", nil, []Header{forwarded("203.0.113.9"), {"X-Real-IP", "203.0.113.9"}, {"Forwarded", "for=203.0.113.9"}},
		},
		"behind a trusted proxy": {
			"trusted_proxies static 127.0.0.0/8",
			[]string{"203.0.113.0/24", "2001:db8::/32"},
			"",
			[]Header{forwarded("203.0.113.9"), forwarded("2001:db8::1"), forwarded("::ffff:203.0.113.9")},
			[]Header{forwarded("203.0.114.9"), forwarded("2001:db9::1"), {"X-Other", ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := Start(t, Options{Config: fmt.Sprintf(sourcesConfig, c.options), Upstream: upstream.Address})
			key := g.Create(map[string]any{"allowed_cidrs": c.allowed})
			free := g.Create(nil)
			for _, from := range c.allowedFrom {
				Expect(t, g.Call("GET", "/rest/users", "", Bearer(key.Secret), from), http.StatusOK, "")
			}
			for _, from := range c.refusedFrom {
				before := upstream.Count()
				answer := g.Call("GET", "/rest/users", "", Bearer(key.Secret), from)
				Expect(t, answer, http.StatusForbidden, "source_not_allowed")
				if want := "key " + key.Prefix + " may not be used from " + c.address; c.address != "" && answer.Text("detail") != want {
					t.Errorf("says %q, want %q", answer.Text("detail"), want)
				}
				if upstream.Count() != before {
					t.Error("it reached the upstream")
				}
				Expect(t, g.Call("GET", "/rest/users", "", Bearer(free.Secret), from), http.StatusOK, "")
			}
			// A client without an address is in no network.
			if status := g.bySocket("/rest/users", key.Secret); status != http.StatusForbidden {
				t.Errorf("by the socket: %d", status)
			}
			if status := g.bySocket("/rest/users", free.Secret); status != http.StatusOK {
				t.Errorf("by the socket, without limits: %d", status)
			}
		})
	}
}

// bySocket sends a request over the site's socket, and returns the status.
func (g *Gateway) bySocket(target, secret string) int {
	g.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(g.Dir, "front.sock"))
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: socket.test\r\nX-API-Key: %s\r\nConnection: close\r\n\r\n", target, secret); err != nil {
		g.t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return answer.StatusCode
}

func TestChangedNetworksHoldForTheNextRequest(t *testing.T) {
	g, _ := start(t)
	key := g.Create(nil)
	for range 3 {
		Expect(t, g.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusOK, "")
		g.Patch(key.ID, map[string]any{"allowed_cidrs": []string{"203.0.113.0/24"}})
		Expect(t, g.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusForbidden, "source_not_allowed")
		g.Patch(key.ID, map[string]any{"allowed_cidrs": []string{}})
	}
	admin := g.Create(map[string]any{"admin": "write", "allowed_cidrs": []string{"203.0.113.0/24"}})
	Expect(t, g.Admin("GET", "/v1/keys", nil, Bearer(admin.Secret)), http.StatusForbidden, "source_not_allowed")

	// The command line: the right form is named, and the limit is shown and lifted.
	run := func(args ...string) string {
		cmd := g.Command(append([]string{"keys"}, args...)...)
		cmd.Env = append(cmd.Env, "KEYWARDEN_ADMIN_KEY="+g.AdminKey)
		out, _ := cmd.CombinedOutput() // its exit status is looked at by what it says
		return string(out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"create", "x", "--all", "--allow-from", "10.0.0.5/8"}, "expected 10.0.0.0/8 for the network"},
		{[]string{"edit", key.ID, "--allow-from", "127.0.0.1", "--allow-from", "2001:DB8::/32"}, "from 127.0.0.1/32 2001:db8::/32"},
		{[]string{"get", key.ID}, "127.0.0.1/32 2001:db8::/32"},
		{[]string{"check", key.ID, "GET", "/rest/users", "--from", "192.0.2.1"}, "refused: 403 source_not_allowed"},
		{[]string{"check", key.ID, "GET", "/rest/users", "--from", "2001:db8::7"}, "allowed"},
		{[]string{"edit", key.ID, "--allow-from", "anywhere", "--allow-from", "::/0"}, "expected no network beside it"},
		{[]string{"edit", key.ID, "--allow-from", "anywhere"}, "Changed key"},
	} {
		if out := run(c.args...); !strings.Contains(out, c.want) {
			t.Errorf("keys %v says\n%s, want %q", c.args, out, c.want)
		}
	}
	Expect(t, g.Call("GET", "/rest/users", "", Bearer(key.Secret)), http.StatusOK, "")
}
