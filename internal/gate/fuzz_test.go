package gate

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Whatever a client sends, nobody without a key gets past anything but a
// public path, a read key never gets a write through, and the body that was
// read to decide is what goes on.
func FuzzDecide(f *testing.F) {
	b := newBench(f, testOptions)
	g := b.gate(f, contractConfig(), Credentials{Bearer: true, Basic: true, Headers: []string{"X-Api-Key"}, Queries: []string{"api_key"}})
	_, reader := b.create(f, func(k *keys.Key) { k.Permissions = permission.Set{Mode: permission.ReadOnly} })
	const token = "READKEY" // stands for the secret, so that the corpus holds none
	for _, seed := range []string{
		"GET /rest/x HTTP/1.1\r\nHost: a\r\nX-API-Key: READKEY\r\n\r\n",
		"POST /rest/search HTTP/1.1\r\nHost: a\r\nAuthorization: bearer READKEY\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n_method=PUT",
		"POST /graphql HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer READKEY\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{\"query\":\"mutation{a}\"}",
		"POST /rpc?api_key=READKEY HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{\"method\":\"getThing\"}\r\n0\r\n\r\n",
		"GET http://a/docs/../rest HTTP/1.1\r\nHost: b\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /docs/x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(raw, token, reader.Reveal()))))
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		d := g.Decide(r, time.Now())
		if !d.Allowed() {
			if d.Detail() == "" {
				t.Fatalf("%s without a word", d.Outcome)
			}
			return
		}
		if d.Key == nil && !d.Public {
			t.Fatalf("allowed without a key on %q", r.URL.Path)
		}
		if d.Key != nil && d.Needs != permission.Read {
			t.Fatalf("a read key got %s on %q", d.Needs, r.URL.Path)
		}
		if after, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(after, body) {
			t.Fatalf("the body %q became %q, %v", body, after, err)
		}
		g.Strip(r)
		if _, count := g.auth.credentials.find(r); count != 0 {
			t.Fatal("a credential went on to the upstream")
		}
	})
}
