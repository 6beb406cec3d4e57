package attack

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// readable is what stands before APIs whose bodies decide.
const readable = `
	api_key_auth {
		api graphql {
			path /graphql
			graphql
		}
		api rpc {
			path /rpc
			jsonrpc {
				read orders.list tools/list tools/call:search_*
			}
		}
	}
`

const bodiesEach = 2000

// No GraphQL document and no JSON-RPC call that comes with a read key changes
// anything, whatever it looks like to the gateway, and however generously the
// server reads it.
func TestNoReadKeyChangesAnything(t *testing.T) {
	s := newSite(t, readable, []upstream{apiUpstream(t), expressUpstream(t)})
	keys := newReaderAndWriter(s)
	for i, u := range s.upstreams {
		for _, l := range []*language{&graphqlLanguage, &rpcLanguage} {
			t.Run(u.name+l.path, func(t *testing.T) {
				b := s.newBodies(t, i, l, keys)
				g := newGenerator(seed)
				for range bodiesEach {
					b.send(g.wrap(l, g.operation()))
				}
				if b.read == 0 || b.changed == 0 {
					t.Errorf("the reader was answered %d times, and the writer changed %d things: the test shows little", b.read, b.changed)
				}
				t.Logf("%d requests: the reader was answered %d times, the writer changed %d things", b.sent, b.read, b.changed)
			})
		}
		// The counts of all requests together: nothing was smuggled past those that were answered.
		counts := s.tally(t, i)
		if counts[keys.reader.ID] > 0 || counts[""] > 0 || len(counts) != 1 {
			t.Errorf("%s counts %v; the reader is %s, the writer %s", u.name, counts, keys.reader.ID, keys.writer.ID)
		}
	}
}

func FuzzNoReadKeyChangesAnything(f *testing.F) {
	s := newSite(f, readable, []upstream{apiUpstream(f), expressUpstream(f)})
	keys := newReaderAndWriter(s)
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		for i := range s.upstreams {
			for _, l := range []*language{&graphqlLanguage, &rpcLanguage} {
				b := s.newBodies(t, i, l, keys)
				g := newGenerator(seed)
				for range 50 {
					b.send(g.wrap(l, g.operation()))
				}
				b.gateway.close()
			}
		}
	})
}

type readerAndWriter struct{ reader, writer e2e.Key }

func newReaderAndWriter(s *site) readerAndWriter {
	return readerAndWriter{
		reader: s.Create(map[string]any{"permissions": map[string]any{"mode": "read_only"}}),
		writer: s.Create(nil),
	}
}

// bodies sends requests to one API of one upstream.
type bodies struct {
	*site
	t        *testing.T
	index    int
	upstream *upstream
	language *language
	keys     readerAndWriter
	gateway  wire
	sent     int
	read     int // requests of the reader that the upstream answered
	changed  int // what the writer changed
}

func (s *site) newBodies(t *testing.T, i int, l *language, keys readerAndWriter) *bodies {
	b := &bodies{site: s, t: t, index: i, upstream: &s.upstreams[i], language: l, keys: keys, gateway: wire{address: s.address}}
	t.Cleanup(b.gateway.close)
	return b
}

// send sends a request with either key.
func (b *bodies) send(w wrapped) {
	b.t.Helper()
	answered, changes := b.exchange(&w, b.keys.reader)
	if answered {
		b.read++
	}
	if changes > 0 {
		b.t.Errorf("%s changed something for a reader:\n%s", b.upstream.name, clip(w.text(b.language.path, "", "", 0)))
	}
	_, changes = b.exchange(&w, b.keys.writer)
	b.changed += changes
}

func (b *bodies) exchange(w *wrapped, key e2e.Key) (answered bool, changes int) {
	b.t.Helper()
	b.sent++
	text := w.text(b.language.path, b.host(b.index), key.Secret, b.sent)
	response, _, err := b.gateway.exchange(w.method, text)
	if err != nil {
		if !errors.Is(err, errHungUp) {
			b.t.Fatalf("%s: %v", clip(text), err)
		}
		return false, 0
	}
	who := response.Header.Get("X-Who")
	if who == "" {
		return false, 0
	}
	if number := response.Header.Get("X-Attack"); number != strconv.Itoa(b.sent) {
		b.t.Fatalf("%s answered request %s to\n%s", b.upstream.name, number, clip(text))
	}
	changes, _ = strconv.Atoi(response.Header.Get("X-Changes")) // none: 0
	return response.StatusCode == http.StatusOK, changes
}

// tally asks an upstream, past the gateway, who changed how much.
func (s *site) tally(t *testing.T, i int) map[string]int {
	t.Helper()
	w := wire{address: s.upstreams[i].address}
	defer w.close()
	_, body, err := w.exchange(http.MethodGet, "GET /tally HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	var counts map[string]int
	if err := json.Unmarshal(body, &counts); err != nil {
		t.Fatal(err)
	}
	return counts
}
