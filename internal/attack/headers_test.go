package attack

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// identityNames are the headers by which the upstream learns who called.
var identityNames = []string{"X-Auth-Key-Id", "X-Auth-Key-Owner", "X-Auth-Api", "X-Auth-Endpoint", "X-Auth-Access"}

// header makes hostile header lines; what they forge has the word forged in it.
func (g generator) header() string {
	name := g.pick(identityNames)
	value := "forged"
	switch g.IntN(12) {
	case 0:
		name = g.spell(name)
	case 1:
		return g.spell(name) + ": forged\r\n" + g.spell(name) + ": forged\r\n"
	case 2:
		return "Connection: " + g.pick([]string{name, g.spell(name), "close, " + name, name + ", " + g.pick(identityNames), "\t" + name, name + ";q=1", "\"" + name + "\"", "keep-alive," + name + ",,", "x, X-Api-Key", "Authorization"}) + "\r\n" + name + ": forged\r\n"
	case 3: // folded lines
		return g.pick([]string{"X-A: b\r\n " + name + ": forged\r\n", name + ":\r\n forged\r\n", name + ": x\r\n\tforged\r\n", "X-A: b\r\n\t\r\n " + name + ": forged\r\n"})
	case 4: // names that are none
		return g.pick([]string{name + " : forged\r\n", " " + name + ": forged\r\n", name + "\t: forged\r\n", name + "\x00: forged\r\n", "\x0b" + name + ": forged\r\n", name + "\xa0: forged\r\n", ":" + name + ": forged\r\n", name + "\r: forged\r\n", "X-A: b\r" + name + ": forged\r\n", "X-A: b\n" + name + ": forged\r\n", "X-A: b\x00\r\n" + name + ": forged\r\n"})
	case 5:
		return "Transfer-Encoding: chunked\r\nTrailer: " + name + "\r\n"
	case 6: // very many
		return strings.Repeat(g.spell(name)+": forged\r\n", 100)
	case 7: // very long
		value = "forged" + strings.Repeat("x", []int{1000, 8000, 60_000}[g.IntN(3)])
	case 8:
		return strings.Repeat("X-Filler-"+strconv.Itoa(g.IntN(9))+": x\r\n", 300) + name + ": forged\r\n"
	case 9:
		value = g.pick([]string{"forged, forged", "forged\r\n\tx", "", " ", "\tforged\t", "forged;x", "fo\xffrged", "=?utf-8?q?forged?="})
	case 10:
		return g.pick([]string{"X-Original-URL", "X-Rewrite-URL", "x_original_url", "X.Rewrite.Url"}) + ": /forged\r\n"
	case 11:
		return g.pick([]string{"X-HTTP-Method-Override: GET\r\n", "X-Http-Method: DELETE\r\n", "x_method_override: PUT\r\n", "X-HTTP-Method-Override: POST\r\nX-HTTP-Method-Override: GET\r\n", "X-HTTP-Method-Override: post\r\n"})
	}
	return name + ": " + value + "\r\n"
}

// spell writes a name as some server takes it for the same.
func (g generator) spell(name string) string {
	b := []byte(name)
	for i, c := range b {
		switch {
		case c == '-' && g.one(2):
			b[i] = "_._"[g.IntN(3)]
		case c != '-' && g.one(3):
			b[i] ^= 0x20
		}
	}
	return string(b)
}

const headersEach = 1500

// Whoever calls, an upstream believes the gateway and nobody else, however it
// reads names of headers: net/http, nginx with underscores allowed, httpd's
// modules and CGI, Express, WSGI.
func TestNoClientTellsTheUpstreamWhoCalled(t *testing.T) {
	s := newSite(t, guarded, upstreams(t))
	s.callers = newCallers(s.Gateway)
	all := &s.callers[len(s.callers)-1]
	for i, u := range s.upstreams {
		t.Run(u.name, func(t *testing.T) {
			n := headersEach
			if u.requests > 0 {
				n = u.requests / 2
			}
			w := wire{address: s.address}
			defer w.close()
			g := newGenerator(seed + uint64(i))
			reached := 0
			for number := range n {
				target, secret, want := "/rest/search", all.secret, all.id+"||rest||read"
				if g.one(3) {
					target, secret, want = "/public/a", "", "||||"
				}
				text := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nX-Attack: %d\r\n", target, s.host(i), number)
				credential := ""
				if secret != "" {
					credential = g.pick([]string{"Authorization: Bearer " + secret, "X-API-Key: " + secret}) + "\r\n"
				}
				hostile := g.header()
				for range g.IntN(3) {
					hostile += g.header()
				}
				if g.one(2) {
					text += hostile + credential
				} else {
					text += credential + hostile
				}
				text += "\r\n"
				if strings.Contains(hostile, "chunked") {
					text += "1\r\nx\r\n0\r\nX-Auth-Key-Id: forged\r\nX_Auth_Access: forged\r\n\r\n"
				}
				response, _, err := w.exchange("GET", text)
				if errors.Is(err, errHungUp) {
					continue // what is no HTTP
				}
				if err != nil {
					t.Fatalf("%s: %v", clip(text), err)
				}
				who, ok := response.Header["X-Who"]
				if !ok {
					if response.StatusCode < http.StatusBadRequest {
						t.Errorf("answered %d to %s", response.StatusCode, clip(text))
					}
					w.close() // what follows it is nobody's business here
					continue
				}
				reached++
				if len(who) != 1 || who[0] != want {
					t.Errorf("%s believed %q, want %q:\n%s", u.name, who, want, clip(text))
				}
			}
			if reached < n/10 {
				t.Errorf("only %d of %d requests reached %s: the test shows little", reached, n, u.name)
			}
		})
	}
}

// Several credentials are refused wherever they stand; where none is looked
// for, none is found, and what stands there goes on as it is.
func TestCredentialsCountInTheirPlacesAlone(t *testing.T) {
	recorder := e2e.NewUpstream(t)
	s := newSite(t, guarded, []upstream{{name: "recorder", address: recorder.Address}})
	key, other := s.Create(nil), s.Create(nil)
	w := wire{address: s.address}
	defer w.close()
	send := func(target, headers string) int {
		t.Helper()
		response, _, err := w.exchange("GET", "GET "+target+" HTTP/1.1\r\nHost: "+s.host(0)+"\r\n"+headers+"\r\n")
		if err != nil {
			t.Fatalf("%q: %v", headers, err)
		}
		return response.StatusCode
	}
	bearer, header := "Authorization: Bearer "+key.Secret+"\r\n", "X-API-Key: "+key.Secret+"\r\n"
	for _, several := range []string{
		bearer + header, bearer + bearer, header + header, header + "x-api-key: " + other.Secret + "\r\n", "Authorization: Bearer x\r\n" + bearer, "X-Api-Key: x\r\n" + bearer,
		"Authorization: bearer " + key.Secret + "\r\n" + header, bearer + strings.Repeat("X-API-Key: "+other.Secret+"\r\n", 50),
	} {
		if got := send("/else", several); got != 400 {
			t.Errorf("answered %d to %q", got, several)
		}
	}
	if n := recorder.Count(); n != 0 {
		t.Errorf("%d requests with several credentials reached the upstream", n)
	}
	for _, elsewhere := range []struct{ name, target, headers, wants string }{
		{"Basic", "/else", "Authorization: Basic " + key.Secret + "\r\n", "Authorization"},
		{"another scheme", "/else", "Authorization: Token " + key.Secret + "\r\n", "Authorization"},
		{"no scheme", "/else", "Authorization: " + key.Secret + "\r\n", "Authorization"},
		{"Proxy-Authorization", "/else", "X-Copy: Bearer " + key.Secret + "\r\n", "X-Copy"},
		{"a cookie", "/else", "Cookie: api_key=" + key.Secret + "\r\n", "Cookie"},
		{"another header", "/else", "Api-Key: " + key.Secret + "\r\n", "Api-Key"},
		{"the URL", "/else?api_key=" + key.Secret + "&key=" + key.Secret, "X-A: b\r\n", "X-A"},
	} {
		before := recorder.Count()
		if got := send(elsewhere.target, elsewhere.headers); got != 401 || recorder.Count() != before {
			t.Errorf("%s: answered %d, want 401", elsewhere.name, got)
		}
		// Beside a credential in its place, it is not ours to take away.
		if got := send(elsewhere.target, elsewhere.headers+"X-API-Key: "+other.Secret+"\r\n"); got != 200 {
			t.Fatalf("%s beside a key: answered %d", elsewhere.name, got)
		}
		got := recorder.Last(t)
		_, want, _ := strings.Cut(strings.TrimSpace(elsewhere.headers), ": ")
		if got.Target != elsewhere.target || got.Header.Get(elsewhere.wants) != want || got.Header.Get("X-Auth-Key-Id") != other.ID {
			t.Errorf("%s arrived as %s %v", elsewhere.name, got.Target, got.Header)
		}
	}
}
