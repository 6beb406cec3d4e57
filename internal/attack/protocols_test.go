package attack

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

const bodiesByClient = 300

// The same bodies over the protocols that frame a request otherwise.
func TestNoReadKeyChangesAnythingOverAnyProtocol(t *testing.T) {
	upstreams := []upstream{apiUpstream(t), expressUpstream(t)}
	plain := newSite(t, readable, upstreams)
	secure := startSite(t, "https", "h1 h2 h3", readable, upstreams)
	unencrypted := new(http.Protocols)
	unencrypted.SetUnencryptedHTTP2(true)
	two := new(http.Protocols)
	two.SetHTTP2(true)
	insecure := func() *tls.Config {
		return &tls.Config{InsecureSkipVerify: true} // the authority was made a moment ago
	}
	dial := func(s *site) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.address)
		}
	}
	third := &http3.Transport{TLSClientConfig: insecure(), Dial: func(ctx context.Context, _ string, c *tls.Config, q *quic.Config) (*quic.Conn, error) {
		return quic.DialAddrEarly(ctx, secure.address, c, q)
	}}
	t.Cleanup(func() { third.Close() })
	for _, p := range []struct {
		name, scheme string
		major        int
		site         *site
		transport    http.RoundTripper
	}{
		{"h2c", "http", 2, plain, &http.Transport{Protocols: unencrypted, DialContext: dial(plain)}},
		{"h2", "https", 2, secure, &http.Transport{Protocols: two, DialContext: dial(secure), TLSClientConfig: insecure()}},
		{"h3", "https", 3, secure, third},
	} {
		t.Run(p.name, func(t *testing.T) {
			keys := newReaderAndWriter(p.site)
			c := &client{site: p.site, t: t, scheme: p.scheme, major: p.major, http: &http.Client{Transport: p.transport, Timeout: 5 * time.Second}}
			g := newGenerator(seed)
			changed, read := 0, 0
			for i := range upstreams {
				c.await(i)
				for n := range bodiesByClient {
					l := []*language{&graphqlLanguage, &rpcLanguage}[n%2]
					w := g.wrap(l, g.operation())
					answered, changes := c.send(i, l, &w, keys.reader)
					if changes > 0 {
						t.Errorf("%s changed something for a reader:\n%s", upstreams[i].name, clip(w.text(l.path, "", "", 0)))
					}
					if answered {
						read++
					}
					_, changes = c.send(i, l, &w, keys.writer)
					changed += changes
				}
				if counts := p.site.tally(t, i); counts[keys.reader.ID] > 0 || counts[""] > 0 {
					t.Errorf("%s counts %v; the reader is %s", upstreams[i].name, counts, keys.reader.ID)
				}
			}
			if read == 0 || changed == 0 {
				t.Errorf("the reader was answered %d times, and the writer changed %d things: the test shows little", read, changed)
			}
		})
	}
}

// client sends requests by Go's clients.
type client struct {
	*site
	t      *testing.T
	scheme string
	major  int
	http   *http.Client
}

func (c *client) url(i int) string { return c.scheme + "://" + c.host(i) }

// await waits until the host has its certificate.
func (c *client) await(i int) {
	c.t.Helper()
	e2e.Eventually(c.t, 30*time.Second, "answering", func() bool {
		response, err := c.http.Get(c.url(i))
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.ProtoMajor == c.major
	})
}

func (c *client) send(i int, l *language, w *wrapped, key e2e.Key) (answered bool, changes int) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), w.method, c.url(i), strings.NewReader(w.body))
	if err != nil {
		c.t.Fatal(err)
	}
	// As it stands, were it what url.Parse would refuse.
	r.URL.Opaque = "//" + c.host(i) + l.path + w.query
	for line := range strings.SplitSeq(w.header, "\r\n") {
		name, value, ok := strings.Cut(line, ": ")
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Connection", "Transfer-Encoding", "Te", "Trailer", "Content-Length", "Expect":
			r.ContentLength = -1 // other protocols have no such framing
		default:
			if ok {
				r.Header.Add(name, value)
			}
		}
	}
	if w.body != "" { // Go's client would wait for ever
		r.Trailer = http.Header{"X-Auth-Access": {"write"}, "X-Auth-Key-Id": {"forged"}}
	}
	r.Header.Set("X-Api-Key", key.Secret)
	response, err := c.http.Do(r)
	if err != nil {
		return false, 0 // Go's client refuses some
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return false, 0
	}
	if response.ProtoMajor != c.major {
		c.t.Fatal(fmt.Errorf("answered over %s", response.Proto))
	}
	changes, _ = strconv.Atoi(response.Header.Get("X-Changes")) // none: 0
	return response.StatusCode == http.StatusOK && response.Header.Get("X-Who") != "", changes
}
