package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/admin"
)

// These tests are about what the client does with servers of every kind; that
// it speaks the admin API is tested with the commands, in internal/cli.

const clientKey = "kw_0123456789abcdefghijABCDEFGHIJ01abcdef"

// serving returns a client of a server that answers with handle.
func serving(t *testing.T, handle http.HandlerFunc) *admin.Client {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return clientAt(t, server.URL)
}

func clientAt(t *testing.T, address string) *admin.Client {
	t.Helper()
	c, err := admin.NewClient(address, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answer(w http.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestAddressesHaveOneSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"http://localhost:2020":        "http://localhost:2020",
		"http://localhost:2020/":       "http://localhost:2020",
		" HTTP://LocalHost:2020// ":    "http://localhost:2020",
		"localhost:2020":               "http://localhost:2020",
		"127.0.0.1:2020":               "http://127.0.0.1:2020",
		"[::1]:2020":                   "http://[::1]:2020",
		"keys.localhost":               "http://keys.localhost",
		"keys.example.com":             "https://keys.example.com",
		"keys.example.com:443":         "https://keys.example.com",
		"https://Keys.Example.com:443": "https://keys.example.com",
		"http://keys.example.com:80":   "http://keys.example.com",
		"https://keys.example.com:80":  "https://keys.example.com:80",
		"https://example.com/admin/":   "https://example.com/admin",
		"https://example.com/a%2Fb":    "https://example.com/a%2Fb",
		"https://[2001:DB8::1]:8443":   "https://[2001:db8::1]:8443",
		"http://[FE80::1%25Eth0]:2020": "http://[fe80::1%25Eth0]:2020",
		"http://my_gateway:2020":       "http://my_gateway:2020",
		"https://Bücher.example":       "https://bücher.example",
	} {
		got, err := admin.ParseAddress(text)
		if got != want || err != nil {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, text := range []string{
		"", " ", "http://", "https:///x", "ftp://example.com", "http://user@example.com", "http://:secret@example.com",
		"http://example.com?x=1", "http://example.com?", "http://example.com#x", "http://exa mple.com", "http://example.com:port",
		"http://%zz", "://example.com", "http://[::1", "file:///etc/passwd", "javascript://x", "http://example.com:99999999999\n",
		"a\u00a0b", "http://a\u00a0/", "a\u200b", "http://[fe80::1%25a%20b]", "a\u202eb", "http://a%C2%A0", "http://a%25b", "http://%ff", "http://a\"b", "http://[::zz]", "http://[fe80::1%eth0]", "http://[%25eth0]",
	} {
		if got, err := admin.ParseAddress(text); err == nil {
			t.Errorf("ParseAddress(%q) = %q, want an error", text, got)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseAddress(%q) quotes the password: %v", text, err)
		}
	}
}

func TestParsingAnAddressAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`(https?://)?[A-Za-z.:\[\]0-9]{1,12}(:[0-9]{1,5})?(/[a-z%/. ]{0,8})?`),
			rapid.StringMatching(`(https?://)?[a-zÄİ\pZ\pC]{0,3}(\[fe80::[0-9]%25)?[A-Za-z%0-9\pZ]{1,6}\]?`)).Draw(t, "address")
		once, err := admin.ParseAddress(text)
		if err != nil {
			return
		}
		if twice, err := admin.ParseAddress(once); twice != once || err != nil {
			t.Fatalf("%q becomes %q, then %q (%v)", text, once, twice, err)
		}
	})
}

func TestOnlyPlainHTTPToAnotherMachineIsInClear(t *testing.T) {
	for address, want := range map[string]bool{
		"http://localhost:2020": false, "http://127.0.0.9": false, "http://[::1]:1": false, "http://a.localhost": false,
		"https://example.com": false, "http://example.com": true, "http://10.0.0.1:2020": true, "http://localhost.example.com": true,
		"http://[::ffff:127.0.0.1]": false,
	} {
		if got := admin.InClear(address); got != want {
			t.Errorf("InClear(%s) = %v, want %v", address, got, want)
		}
	}
}

func TestKeysThatNoHeaderCanCarryAreRefused(t *testing.T) {
	for _, key := range []string{"", "a b", "a\r\nX-Evil: 1", "é", strings.Repeat("a", 513)} {
		if _, err := admin.NewClient("http://localhost", key); err == nil || key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("NewClient with key %q: %v", key, err)
		}
	}
}

func TestPrintingAClientShowsNoKey(t *testing.T) {
	c := clientAt(t, "http://localhost:1")
	if text := fmt.Sprintf("%v %+v %#v", c, c, *c); strings.Contains(text, clientKey) {
		t.Error(text)
	}
}

func TestRequestsAreWhatTheAPIExpects(t *testing.T) {
	type seen struct{ Line, Type, Match, Authorization, Body string }
	var got seen
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = seen{r.Method + " " + r.RequestURI, r.Header.Get("Content-Type"), r.Header.Get("If-Match"), r.Header.Get("Authorization"), strings.TrimSpace(string(body))}
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, 200, "application/json", `{}`)
	})
	name := "<a & b>"
	for _, call := range []struct {
		do   func(context.Context) error
		want seen
	}{
		{
			func(ctx context.Context) error { _, _, err := c.List(ctx, admin.KeyFilter{}); return err },
			seen{Line: "GET /v1/keys"},
		},
		{func(ctx context.Context) error {
			_, _, err := c.List(ctx, admin.KeyFilter{Owner: "o", Status: "active", Text: "a&b", API: "rest", Limit: 200, Cursor: "="})
			return err
		}, seen{Line: "GET /v1/keys?api=rest&cursor=%3D&limit=200&owner=o&q=a%26b&status=active"}},
		{
			func(ctx context.Context) error { _, _, err := c.Get(ctx, "../x?y"); return err },
			seen{Line: "GET /v1/keys/..%2Fx%3Fy"},
		},
		{
			func(ctx context.Context) error { _, _, err := c.Get(ctx, ".."); return err },
			seen{Line: "GET /v1/keys/%2E%2E"},
		},
		{func(ctx context.Context) error {
			_, _, err := c.Patch(ctx, "key_1", admin.Patch{Name: &name, ExpiresAt: &admin.Expiry{}}, `"7"`)
			return err
		}, seen{Line: "PATCH /v1/keys/key_1", Type: "application/json", Match: `"7"`, Body: `{"name":"<a & b>","expires_at":null}`}},
		{
			func(ctx context.Context) error { _, err := c.Delete(ctx, "key_1", `"7"`); return err },
			seen{Line: "DELETE /v1/keys/key_1", Match: `"7"`},
		},
		{func(ctx context.Context) error {
			_, _, err := c.Rotate(ctx, "key_1", 1500*time.Millisecond, "")
			return err
		}, seen{Line: "POST /v1/keys/key_1/rotate", Type: "application/json", Body: `{"grace_seconds":2}`}},
		{func(ctx context.Context) error {
			_, err := c.Import(ctx, []json.RawMessage{[]byte(`{"a":"<"}`)})
			return err
		}, seen{Line: "POST /v1/keys/import", Type: "application/json", Body: `{"keys":[{"a":"<"}]}`}},
		{func(ctx context.Context) error { _, _, err := c.APIs(ctx); return err }, seen{Line: "GET /v1/apis"}},
		{
			func(ctx context.Context) error { _, _, err := c.PutEndpoint(ctx, "rest", "a b", "T"); return err },
			seen{Line: "PUT /v1/apis/rest/endpoints/a%20b", Type: "application/json", Body: `{"title":"T"}`},
		},
		{
			func(ctx context.Context) error { return c.DeleteEndpoint(ctx, "rest", "a%") },
			seen{Line: "DELETE /v1/apis/rest/endpoints/a%25"},
		},
		{func(ctx context.Context) error {
			_, _, err := c.Audit(ctx, admin.AuditFilter{Key: "key_1", Limit: 5})
			return err
		}, seen{Line: "GET /v1/audit?key=key_1&limit=5"}},
	} {
		if err := call.do(t.Context()); err != nil {
			t.Errorf("%s: %v", call.want.Line, err)
		}
		call.want.Authorization = "Bearer " + clientKey
		if diff := cmp.Diff(call.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAddressBelowAPathIsKept(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, "application/json", fmt.Sprintf(`{"id":%q}`, r.RequestURI))
	}))
	defer server.Close()
	if who, _, err := clientAt(t, server.URL+"/admin/").Whoami(t.Context()); who.ID != "/admin/v1/whoami" || err != nil {
		t.Errorf("got %q, %v", who.ID, err)
	}
}

func TestARefusalIsAProblem(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 422, "application/problem+json", `{"status":200,"code":"invalid_request","detail":"no","errors":[{"field":"name","message":"too long"}]}`)
	})
	_, _, err := c.Create(t.Context(), admin.CreateRequest{})
	var p *admin.Problem
	if !errors.As(err, &p) || p.Status != 422 || p.Code != "invalid_request" || p.Error() != "no: name: too long" {
		t.Errorf("got %#v", err)
	}
}

func TestRedirectsAreNotFollowedWithTheKey(t *testing.T) {
	asked := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer elsewhere.Close()
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/v1/whoami", http.StatusFound)
	})
	if _, _, err := c.Whoami(t.Context()); err == nil || !strings.Contains(err.Error(), elsewhere.URL) || asked {
		t.Errorf("got %v; asked %v", err, asked)
	}
}

func TestServersThatAreNoAdminAPIAreRecognised(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		kind, body string
		says       string
	}{
		"a web page":          {200, "text/html; charset=utf-8", "<html>", "is an api_key_admin site at this address?"},
		"an empty 200":        {200, "", "", "is an api_key_admin site"},
		"a 404 page":          {404, "text/plain", "not found", "404 Not Found"},
		"another API's error": {404, "application/json", `{"message":"not found"}`, "404 Not Found"},
		"a proxy's error":     {502, "text/html", "<html>", "502 Bad Gateway"},
		"broken JSON":         {200, "application/json", `{"id":`, "reading the answer"},
		"JSON of wrong type":  {200, "application/json", `{"id":7}`, "reading the answer"},
		"broken problem":      {500, "application/problem+json", `{"code":`, "500 Internal Server Error"},
		"an https server":     {400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n", "speaks https: use https://"},
	} {
		t.Run(name, func(t *testing.T) {
			client := serving(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, c.status, c.kind, c.body) })
			if _, _, err := client.Get(t.Context(), "key_1"); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestAnAnswerCutShortLeavesAChangeInDoubt(t *testing.T) {
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"id":`)
	}
	c := serving(t, cut)
	var unanswered *admin.UnansweredError
	if _, _, err := c.Create(t.Context(), admin.CreateRequest{}); !errors.As(err, &unanswered) || !unanswered.InDoubt {
		t.Errorf("create: %v", err)
	}
	if _, _, err := c.Get(t.Context(), "key_1"); !errors.As(err, &unanswered) || unanswered.InDoubt {
		t.Errorf("get: %v", err)
	}
	if _, _, err := c.Check(t.Context(), admin.CheckRequest{}); !errors.As(err, &unanswered) || unanswered.InDoubt {
		t.Errorf("check changes nothing: %v", err)
	}
}

func TestAChangeThatWasNeverSentIsNotInDoubt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var unanswered *admin.UnansweredError
	if _, err := clientAt(t, address).Delete(t.Context(), "key_1", ""); !errors.As(err, &unanswered) || unanswered.InDoubt || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v", err)
	}
}

func TestACancelledCallEndsAtOnce(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	c := serving(t, func(http.ResponseWriter, *http.Request) { close(reached); <-release })
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	_, _, err := c.Create(ctx, admin.CreateRequest{})
	var unanswered *admin.UnansweredError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &unanswered) || !unanswered.InDoubt {
		t.Errorf("got %v", err)
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a request came through")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs the failed handshake
	server.StartTLS()
	defer server.Close()
	if _, _, err := clientAt(t, server.URL).Whoami(t.Context()); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("got %v", err)
	}
}

func TestHTTPSToAPlainServerSaysSo(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, _, err := clientAt(t, strings.Replace(server.URL, "http:", "https:", 1)).Whoami(t.Context()); err == nil || !strings.Contains(err.Error(), "use "+server.URL) {
		t.Errorf("got %v", err)
	}
}
