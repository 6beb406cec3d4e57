package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// mcpConfig lets keys with read look for tools and call those that search.
const mcpConfig = `{
	api_keys {
		store sqlite ./data/keys.db
	}
}

http://localhost:8080 {
	bind 127.0.0.1
	api_key_auth {
		api tools {
			path /mcp
			jsonrpc {
				read initialize ping notifications/* server/discover subscriptions/listen tools/list tools/call:search_*
			}
		}
	}
	reverse_proxy 127.0.0.1:9000
}

http://localhost:2020 {
	bind 127.0.0.1
	api_key_admin
}
`

type mcpArguments struct {
	Text string `json:"text"`
}

// startMCP starts a gateway in front of the official SDK's server, which has
// the tools search_orders and delete_orders, and returns what they were called
// with.
func startMCP(t *testing.T, stateless bool) (*Gateway, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var called []string
	server := mcp.NewServer(&mcp.Implementation{Name: "shop", Version: "1"}, nil)
	for _, name := range []string{"search_orders", "delete_orders"} {
		mcp.AddTool(server, &mcp.Tool{Name: name}, func(_ context.Context, _ *mcp.CallToolRequest, in mcpArguments) (*mcp.CallToolResult, any, error) {
			mu.Lock()
			defer mu.Unlock()
			called = append(called, name+" "+in.Text)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "done: " + in.Text}}}, nil, nil
		})
	}
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: stateless})
	upstream := httptest.NewServer(handler)
	t.Cleanup(upstream.Close)
	t.Cleanup(upstream.CloseClientConnections) // a client may still listen
	g := Start(t, Options{Config: mcpConfig, Upstream: upstream.Listener.Addr().String()})
	return g, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), called...)
	}
}

// withKey presents a key with every request.
type withKey struct {
	secret string
	next   http.RoundTripper
}

func (k *withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+k.secret)
	return k.next.RoundTrip(r)
}

func (g *Gateway) mcpSession(ctx context.Context, secret string) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	return client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: g.URL + "/mcp", MaxRetries: -1,
		HTTPClient: &http.Client{Transport: &withKey{secret, g.client.Transport}},
	}, nil)
}

func TestMCPClientsCallTheToolsThatTheirKeyMay(t *testing.T) {
	for name, stateless := range map[string]bool{"with sessions": false, "stateless": true} {
		t.Run(name, func(t *testing.T) {
			g, called := startMCP(t, stateless)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			reader := g.Create(map[string]any{"permissions": Restricted(map[string]any{"tools": map[string]any{"access": "read"}})})
			writer := g.Create(nil)

			if _, err := g.mcpSession(ctx, strings.Replace(reader.Secret, "kw_", "kw_X", 1)); err == nil || !strings.Contains(err.Error(), "Unauthorized") {
				t.Errorf("with an unknown key: %v", err)
			}
			session, err := g.mcpSession(ctx, reader.Secret)
			if err != nil {
				t.Fatal(err)
			}
			tools, err := session.ListTools(ctx, nil)
			if err != nil || len(tools.Tools) != 2 {
				t.Fatalf("listing tools: %v, %v", tools, err)
			}
			found, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "search_orders", Arguments: map[string]any{"text": "loom"}})
			if err != nil || len(found.Content) != 1 || found.Content[0].(*mcp.TextContent).Text != "done: loom" {
				t.Fatalf("a tool that searches: %v, %v", found, err)
			}
			if _, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "delete_orders", Arguments: map[string]any{"text": "all"}}); err == nil ||
				!strings.Contains(err.Error(), "Forbidden") {
				t.Errorf("a tool that deletes: %v", err)
			}

			session, err = g.mcpSession(ctx, writer.Secret)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "delete_orders", Arguments: map[string]any{"text": "one"}}); err != nil {
				t.Errorf("a tool that deletes, with write: %v", err)
			}
			if err := session.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
			if got := strings.Join(called(), ", "); got != "search_orders loom, delete_orders one" {
				t.Errorf("called: %s", got)
			}
		})
	}
}
