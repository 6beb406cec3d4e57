package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// closedWithin is how long a connection may outlive what its key may do:
// propagation, the second in which an answer is left to end by itself, and
// that much again on a busy machine.
const closedWithin = 2*propagation + 5*time.Second

// newStreams starts an upstream with a WebSocket that echoes and a stream of
// events that says one thing and then nothing.
func newStreams(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/rest/socket", websocket.Server{Handler: func(c *websocket.Conn) { _, _ = io.Copy(c, c) }})
	mux.HandleFunc("/rest/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: hello\n\n")
		if http.NewResponseController(w).Flush() == nil {
			<-r.Context().Done()
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// stream is a connection that lasts, after its first words.
type stream struct {
	conn io.Closer
	// next waits for what comes next and returns why nothing does.
	next func() error
	// alive returns an error if nothing goes through it.
	alive func() error
}

func openSocket(t *testing.T, g *Gateway, secret string) *stream {
	t.Helper()
	config, err := websocket.NewConfig("ws"+strings.TrimPrefix(g.URL, "http")+"/rest/socket", g.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.Header = http.Header{"X-Api-Key": {secret}}
	raw, err := net.Dial("tcp4", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	c, err := websocket.NewClient(config, raw)
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{conn: raw}
	s.next = func() error {
		if err := c.SetReadDeadline(time.Now().Add(closedWithin)); err != nil {
			return err
		}
		return websocket.Message.Receive(c, new(string))
	}
	s.alive = func() error {
		if err := websocket.Message.Send(c, "ping"); err != nil {
			return err
		}
		return s.next()
	}
	if err := s.alive(); err != nil {
		t.Fatalf("the WebSocket does not echo: %v", err)
	}
	return s
}

func openEvents(t *testing.T, g *Gateway, secret string) *stream {
	t.Helper()
	raw, err := net.Dial("tcp4", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	fmt.Fprintf(raw, "GET /rest/events HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\n\r\n", strings.TrimPrefix(g.URL, "http://"), secret)
	lines := bufio.NewReader(raw)
	for line := ""; !strings.HasPrefix(line, "data: hello"); {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatalf("no event came: %v", err)
		}
	}
	return &stream{conn: raw, next: func() error {
		if err := raw.SetReadDeadline(time.Now().Add(closedWithin)); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, lines)
		if err == nil {
			return io.EOF
		}
		return err
	}}
}

// expectClosed fails unless the gateway closes s in time.
func (s *stream) expectClosed(t *testing.T, what string) {
	t.Helper()
	if err := s.next(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s is open %s later (%v)", what, closedWithin, err)
	}
}

// endings are the ways in which a key ends or loses what a stream needs.
var endings = []struct {
	name string
	end  func(g *Gateway, key Key)
	// of the two kinds of streams, a reader may go on with its events.
	onlySocket bool
}{
	{"deleted", func(g *Gateway, key Key) { Expect(g.t, g.delete(key.ID), http.StatusNoContent, "") }, false},
	{"disabled", func(g *Gateway, key Key) { g.Patch(key.ID, map[string]any{"enabled": false}) }, false},
	{"rotated", func(g *Gateway, key Key) {
		Expect(g.t, g.Admin("POST", "/v1/keys/"+key.ID+"/rotate", nil), http.StatusOK, "")
	}, false},
	{"rotated with a grace that ends", func(g *Gateway, key Key) {
		Expect(g.t, g.Admin("POST", "/v1/keys/"+key.ID+"/rotate", map[string]any{"grace_seconds": 1}), http.StatusOK, "")
	}, false},
	{"expired", func(g *Gateway, key Key) {
		g.Patch(key.ID, map[string]any{"expires_at": time.Now().Add(time.Second).UTC().Format(time.RFC3339Nano)})
	}, false},
	{"made a reader", func(g *Gateway, key Key) {
		g.Patch(key.ID, map[string]any{"permissions": map[string]any{"mode": "read_only"}})
	}, true},
	{"limited to other networks", func(g *Gateway, key Key) {
		g.Patch(key.ID, map[string]any{"allowed_cidrs": []string{"203.0.113.0/24", "::1"}})
	}, false},
	{"left without access", func(g *Gateway, key Key) {
		g.Patch(key.ID, map[string]any{"permissions": Restricted(map[string]any{"graphql": map[string]any{"access": "write"}})})
	}, false},
}

func TestStreamsEndWithTheAccessOfTheirKeyOnEveryNode(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			o := Options{Config: caddyfile, Upstream: newStreams(t), Dir: t.TempDir()}
			if kind == "postgres" {
				o.Config = onPostgres(pgtest.Database(t))
			}
			a := Start(t, o)
			b := Start(t, o)
			b.AdminKey = a.AdminKey
			other := a.Create(nil)
			stays := openSocket(t, b, other.Secret)
			for _, ending := range endings {
				t.Run(ending.name, func(t *testing.T) {
					key := a.Create(nil)
					sockets := []*stream{openSocket(t, a, key.Secret), openSocket(t, b, key.Secret)}
					events := []*stream{openEvents(t, a, key.Secret), openEvents(t, b, key.Secret)}
					a.Patch(key.ID, map[string]any{"name": "renamed", "allowed_cidrs": []string{"127.0.0.0/8"}}) // a change that takes nothing away
					for _, s := range sockets {
						if err := s.alive(); err != nil {
							t.Errorf("a new name, and a network that the client is in, closed a WebSocket: %v", err)
						}
					}
					ending.end(a, key)
					for i, where := range []string{"this node", "the other node"} {
						sockets[i].expectClosed(t, "a WebSocket on "+where)
						if !ending.onlySocket {
							events[i].expectClosed(t, "a stream of events on "+where)
						}
					}
				})
			}
			if err := stays.alive(); err != nil {
				t.Errorf("the WebSocket of another key: %v", err)
			}
		})
	}
}

func TestWithCloseOnRevokeOffStreamsGoOn(t *testing.T) {
	g := Start(t, Options{
		Config:   strings.Replace(caddyfile, `realm "Acme API"`, "close_on_revoke off", 1),
		Upstream: newStreams(t),
	})
	key, closer := g.Create(nil), g.Create(nil)
	s := openSocket(t, g, key.Secret)
	Expect(t, g.delete(key.ID), http.StatusNoContent, "")
	Expect(t, g.use(key.Secret), http.StatusUnauthorized, "unknown_key")
	Expect(t, g.delete(closer.ID), http.StatusNoContent, "")
	if err := s.alive(); err != nil {
		t.Errorf("the WebSocket: %v", err)
	}
}
