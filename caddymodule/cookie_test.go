package caddymodule

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/admin"
)

func TestSessionOfTheConsoleIsTakenOutOfCookies(t *testing.T) {
	for value, want := range map[string][]string{
		"":                              {""},
		"a=1":                           {"a=1"},
		"keywarden_session=x":           nil,
		" keywarden_session =x":         nil,
		"keywarden_session":             nil,
		"a=1; keywarden_session=x; b=2": {"a=1; b=2"},
		"keywarden_session=x;keywarden_session=y;a=1":   {"a=1"},
		"a=keywarden_session=x":                         {"a=keywarden_session=x"},
		"keywarden_session2=x; my_keywarden_session=y":  {"keywarden_session2=x; my_keywarden_session=y"},
		"KEYWARDEN_SESSION=x":                           {"KEYWARDEN_SESSION=x"}, // names are case-sensitive: it opens nothing
		`a="1; 2"; keywarden_session="x"; b=é`:          {`a="1; 2"; b=é`},
		"a=1; keywarden_session=x\nkeywarden_session=y": {"a=1"},
		"keywarden_session=x\nb=2":                      {"b=2"},
	} {
		lines := strings.Split(value, "\n")
		before := strings.Join(lines, "\n")
		h := http.Header{"Cookie": lines}
		dropSession(h, h["Cookie"])
		if diff := cmp.Diff(want, h["Cookie"]); diff != "" {
			t.Errorf("%q (-want +got):\n%s", value, diff)
		}
		if strings.Join(lines, "\n") != before {
			t.Errorf("%q was changed in place", value)
		}
	}
}

func TestNoSessionOfTheConsoleSurvives(t *testing.T) {
	pair := rapid.SampledFrom([]string{"keywarden_session=secret", " keywarden_session=secret ", "a=1", "", "b", "keywarden_session", "\tkeywarden_session\t=secret"})
	rapid.Check(t, func(t *rapid.T) {
		h := http.Header{}
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			h.Add("Cookie", strings.Join(rapid.SliceOf(pair).Draw(t, "pairs"), ";"))
		}
		dropSession(h, h["Cookie"])
		r := &http.Request{Header: h}
		if found := r.CookiesNamed(admin.SessionCookie); len(found) > 0 || strings.Contains(strings.Join(h["Cookie"], ""), "secret") {
			t.Fatalf("it is still there: %q", h["Cookie"])
		}
	})
}

func TestRequestsWithoutTheSessionAllocateNothing(t *testing.T) {
	for name, h := range map[string]http.Header{
		"no cookie": {"Accept": {"*/*"}}, "other cookies": {"Cookie": {"a=1; session=abc", "b=2"}},
	} {
		if n := testing.AllocsPerRun(100, func() { dropSession(h, h["Cookie"]) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestSessionOfTheConsoleDoesNotReachTheUpstream(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	for n, target := range []string{"/rest/a", "/healthz"} {
		answer := s.raw("GET " + target + " HTTP/1.1\nHost: " + s.address + "\nX-API-Key: " + secret +
			"\nConnection: close\nCookie: theme=dark; keywarden_session=forged; lang=en\ncookie: keywarden_session=forged\n\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Fatal(answer)
		}
		got := s.upstream.last(t, n+1)
		if diff := cmp.Diff([]string{"theme=dark; lang=en"}, got.Header["Cookie"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
}
