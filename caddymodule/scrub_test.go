package caddymodule

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

func TestIdentityHeadersOfClientsAreRemovedInEverySpelling(t *testing.T) {
	h := http.Header{}
	for _, name := range []string{
		"X-Auth-Key-Id", "x-auth-key-owner", "X_AUTH_API", "x_auth-endpoint", "X-AUTH_access", "X.Auth.Key.Id",
		"X-Original-URL", "x_original_url", "X-Rewrite-Url", "X_Rewrite-URL",
	} {
		h[name] = []string{"forged"}
	}
	kept := []string{"X-Auth-Key", "X-Auth-Key-Ids", "X-Auth", "Auth-Key-Id", "X-Authorization", "X-Original-Uri", "X", "", "É", "X-Api-Key"}
	for _, name := range kept {
		h[name] = []string{"kept"}
	}
	dropForbidden(h)
	want := http.Header{}
	for _, name := range kept {
		want[name] = []string{"kept"}
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConnectionCanNotNameWhatTheUpstreamMustGet(t *testing.T) {
	for value, want := range map[string][]string{
		"keep-alive":                         {"keep-alive"},
		"close, X-Auth-Key-Id":               {"close"},
		"x-auth-access":                      nil,
		",, X-AUTH-API\t,\tUpgrade":          {"Upgrade"},
		"x_auth_key_owner, Te":               {"Te"},
		"Content-Type, X-Mine":               {"X-Mine"},
		"content-encoding,content-length":    nil,
		"X-Auth-Key-Idx, close":              {"X-Auth-Key-Idx, close"},
		"X-Custom":                           {"X-Custom"},
		"X-Original-URL,X-Rewrite-URL,close": {"close"},
	} {
		h := http.Header{"Connection": {value}}
		scrub(&http.Request{Header: h})
		if diff := cmp.Diff(want, h["Connection"]); diff != "" {
			t.Errorf("Connection: %q (-want +got):\n%s", value, diff)
		}
	}
	h := http.Header{"Connection": {"close", "X-Auth-Api", "Te"}}
	scrub(&http.Request{Header: h})
	if diff := cmp.Diff([]string{"close, Te"}, h["Connection"]); diff != "" {
		t.Errorf("several lines (-want +got):\n%s", diff)
	}
}

func TestNoSpellingOfAForbiddenNameSurvives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := []byte(rapid.SampledFrom(forbidden[:]).Draw(t, "name"))
		for i, c := range name {
			switch {
			case c == '-':
				name[i] = rapid.SampledFrom([]byte("-_.")).Draw(t, "separator")
			case rapid.Bool().Draw(t, "upper"):
				name[i] = bytes.ToUpper(name[i : i+1])[0]
			}
		}
		h := http.Header{string(name): {"forged"}, "Connection": {"close, " + string(name)}}
		scrub(&http.Request{Header: h})
		if diff := cmp.Diff(http.Header{"Connection": {"close"}}, h); diff != "" {
			t.Fatalf("%s survived:\n%s", name, diff)
		}
	})
}

// forgeries are header lines that must never reach the upstream.
const forgeries = "X-Auth-Key-Id: forged\nx-auth-key-owner: forged\nX-AUTH-API: forged\nX_Auth_Endpoint: forged\n" +
	"X.Auth.Access: forged\nX-Original-URL: /forged\nX-Rewrite-URL: /forged\nx_original_url: /forged\n"

func TestForgedIdentityDoesNotReachTheUpstream(t *testing.T) {
	s := newSite(t, "servers {\nexpected_underscore_headers X_Auth_Endpoint x_original_url\n}", standard)
	k, secret := s.key()
	n := 0
	for _, target := range []string{"/rest/a", "/healthz"} {
		for name, connection := range map[string]string{
			"plainly":             "close",
			"by Connection":       "close, X-Auth-Key-Id, X-Auth-Access, X-Auth-Api",
			"by lower case":       "close,x-auth-key-id,x-auth-access",
			"by a second line":    "close\nConnection: X-Auth-Key-Id\nConnection: X-Auth-Api,X-Auth-Access",
			"by Proxy-Connection": "close\nProxy-Connection: X-Auth-Key-Id",
		} {
			answer := s.raw("GET " + target + " HTTP/1.1\nHost: " + s.address + "\nX-API-Key: " + secret + "\nConnection: " + connection + "\n" + forgeries + "\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
				t.Fatalf("%s %s: %s", target, name, answer)
			}
			n++
			got := s.upstream.last(t, n)
			if strings.Contains(fmt.Sprint(got.Header), "forged") {
				t.Errorf("%s %s: forged headers arrived: %v", target, name, got.Header)
			}
			want := map[string]string{}
			if target == "/rest/a" {
				want = map[string]string{"X-Auth-Key-Id": string(k.ID), "X-Auth-Key-Owner": "team-7", "X-Auth-Api": "rest", "X-Auth-Access": "read"}
			}
			if diff := cmp.Diff(want, identityOf(got.Request)); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", target, name, diff)
			}
		}
	}
}

func TestConnectionCanNotTakeTheContentTypeFromAJudgedBody(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	query := `{"query":"{ me { id } }"}`
	answer := s.raw(fmt.Sprintf("POST /graphql HTTP/1.1\nHost: %s\nX-API-Key: %s\nConnection: close, Content-Type\nContent-Type: application/json\nContent-Length: %d\n\n%s",
		s.address, secret, len(query), query))
	if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Fatal(answer)
	}
	if got := s.upstream.last(t, 1); got.Header.Get("Content-Type") != "application/json" || got.Body != query {
		t.Errorf("the upstream got %v, %s", got.Header, got.Body)
	}
}

func TestForgedTrailersDoNotReachTheUpstream(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	for n, target := range []string{"/rest/a", "/healthz"} {
		answer := s.raw("POST " + target + " HTTP/1.1\nHost: " + s.address + "\nX-API-Key: " + secret + "\nConnection: close\nTransfer-Encoding: chunked\n" +
			"Trailer: X-Auth-Key-Id, X-Mine, X_auth_api\n\n3\nabc\n0\nX-Auth-Key-Id: forged\nX-Auth-Access: forged\nX_auth_api: forged\nX-Mine: mine\n\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Fatal(answer)
		}
		got := s.upstream.last(t, n+1)
		if diff := cmp.Diff(http.Header{"X-Mine": {"mine"}}, got.Trailer); diff != "" {
			t.Errorf("%s: trailers (-want +got):\n%s", target, diff)
		}
		if got.Body != "abc" {
			t.Errorf("%s: body %q", target, got.Body)
		}
	}
}

func TestForgedTrailersOfAJudgedBodyDoNotReachTheUpstream(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	query := `{"query":"{ me { id } }"}`
	answer := s.raw(fmt.Sprintf("POST /graphql HTTP/1.1\nHost: %s\nX-API-Key: %s\nConnection: close\nTransfer-Encoding: chunked\nContent-Type: application/json\n"+
		"Trailer: X-Auth-Key-Id\n\n%x\n%s\n0\nX-Auth-Key-Id: forged\n\n", s.address, secret, len(query), query))
	if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Fatal(answer)
	}
	if got := s.upstream.last(t, 1); len(got.Trailer["X-Auth-Key-Id"]) > 0 || got.Body != query {
		t.Errorf("trailers %v, body %q", got.Trailer, got.Body)
	}
}

func TestForgedTrailersOfHTTP2DoNotReachTheUpstream(t *testing.T) {
	s := newSite(t, "servers {\nprotocols h1 h2c\n}", standard)
	_, secret := s.key()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	block := func(pairs ...string) []byte {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for i := 0; i < len(pairs); i += 2 {
			if err := e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}); err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes()
	}
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fatal(framer.WriteSettings())
	fatal(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(
		":method", "POST", ":scheme", "http", ":authority", s.address, ":path", "/rest/a",
		"x-api-key", secret, "trailer", "x-auth-key-id, x-mine", "x-auth-key-id", "forged")}))
	fatal(framer.WriteData(1, false, []byte("abc")))
	fatal(framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: block(
		"x-auth-key-id", "forged", "x-mine", "mine")}))
	for ended := false; !ended; {
		frame, err := framer.ReadFrame()
		fatal(err)
		ended = frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream)
	}
	got := s.upstream.last(t, 1)
	if strings.Contains(fmt.Sprint(got.Header, got.Trailer), "forged") || got.Trailer.Get("X-Mine") != "mine" {
		t.Errorf("headers %v, trailers %v", got.Header, got.Trailer)
	}
}

func TestHeaderValuesCanNotBreakTheRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "value")
		v := headerValue(s)
		for i := range len(v) {
			if v[i] < ' ' || v[i] > '~' {
				t.Fatalf("%q became %q", s, v)
			}
		}
		if strings.TrimSpace(v) != v {
			t.Fatalf("%q became %q, which would be trimmed", s, v)
		}
		var back []byte
		for i := 0; i < len(v); {
			c, n := v[i], 1
			if c == '%' {
				c, n = byte(unhex(v[i+1])<<4|unhex(v[i+2])), 3
			}
			back = append(back, c)
			i += n
		}
		if string(back) != s {
			t.Fatalf("%q became %q, which reads as %q", s, v, back)
		}
	})
}

func TestThePathThatIsJudgedIsThePathThatIsSent(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	for sent, want := range map[string]string{
		"/rest/%75sers":       "/rest/users",
		"/rest/us%65rs?a=%62": "/rest/users?a=%62", // a query is not compared with anything
		"/rest/a%20b%7Ec":     "/rest/a%20b~c",
		"/rest/caf%C3%A9":     "/rest/caf%C3%A9",
		"/heal%74hz":          "/healthz",
	} {
		s.want(200, "GET", sent, bearer(secret))
		if got := s.upstream.last(t, s.upstream.count()).RequestURI; got != want {
			t.Errorf("%s reached the upstream as %s, want %s", sent, got, want)
		}
	}
}
