package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/admin"
)

func TestTimesInWords(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "just now", 59 * time.Second: "just now", time.Minute: "1 minute ago", 4*time.Minute + 20*time.Second: "4 minutes ago",
		90 * time.Minute: "2 hours ago", day: "1 day ago", 30 * day: "30 days ago", 100 * day: "3 months ago", 800 * day: "2 years ago",
		-1: "in 1 second", -30 * time.Minute: "in 30 minutes", -time.Hour + time.Second: "in 1 hour", -30*day + time.Minute: "in 30 days",
		-365*day + time.Minute: "in 1 year",
	} {
		if got := ago(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestWhatHappenedIsNotInTheFuture(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ahead, before := now.Add(time.Second), now.Add(-time.Hour)
	if got := past(&ahead, now); got.Words != "just now" || got.Exact != "2026-01-02 03:04:06 UTC" {
		t.Errorf("a second ahead is %+v", got)
	}
	if past(&before, now).Words != "1 hour ago" || past(nil, now) != (moment{}) {
		t.Error("other times are told in another way")
	}
}

func TestNumbersHaveTheirThousandsApart(t *testing.T) {
	for n, want := range map[int64]string{0: "0 requests", 1: "1 request", 999: "999 requests", 1204: "1,204 requests", 1234567: "1,234,567 requests"} {
		if got := number(n, "request"); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestUseOfLateInWords(t *testing.T) {
	for _, x := range []struct {
		recording bool
		day, week int64
		want      string
	}{
		{true, 1204, 9000, "1,204 requests in the last 24 hours"},
		{true, 0, 1, "none in the last 24 hours, 1 request in the last 7 days"},
		{true, 0, 0, "no request in the last 7 days"},
		{false, 5, 5, ""},
	} {
		u := admin.KeyUsage{Recorded: admin.Recorded{Recording: x.recording}, Lately: admin.Lately{Requests24h: x.day, Requests7d: x.week}}
		if got := latelyWords(u); got != x.want {
			t.Errorf("%+v is %q", x, got)
		}
	}
}

func TestChartShowsEveryRequestWithinItsHeight(t *testing.T) {
	begin := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	c := chartOf([]admin.UsageBucket{
		{At: begin, Allowed: 1_000_000},
		{At: begin.Add(time.Hour), Allowed: 1, Refused: 1},
		{At: begin.Add(2 * time.Hour)},
		{At: begin.Add(3 * time.Hour), Allowed: 999_999, Refused: 1},
	}, "hour")
	if c.Width != 32 || c.Most != "1,000,000" || c.From != "2 Jan 00:00" || c.To != "2 Jan 04:00" || len(c.Rows) != 3 {
		t.Errorf("the chart is %+v", c)
	}
	for _, b := range c.Bars {
		if b.AllowedY < 0 || b.RefusedY < 0 || b.AllowedY+b.AllowsH != chartHeight || (b.Allowed != "0") != (b.AllowsH > 0) || (b.Refused != "0") != (b.RefusesH > 0) {
			t.Errorf("a bar is %+v", b)
		}
	}
	if empty := chartOf(nil, "day"); len(empty.Bars) != 0 || empty.Width == 0 {
		t.Errorf("no use is %+v", empty)
	}
}

func TestAPIsThatAKeyUsesLastUsedFirst(t *testing.T) {
	v := &visit{now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)}
	used := func(api, outcome string, n int64, ago time.Duration) admin.UsedFor {
		return admin.UsedFor{Target: admin.Target{API: api}, Outcome: outcome, Requests: n, LastAt: v.now.Add(-ago)}
	}
	var got []string
	for _, u := range v.usedAPIs([]admin.UsedFor{
		used("rest", "allowed", 1000, time.Hour), used("rest", "insufficient_access", 3, 2*time.Hour), used("", "expired_key", 2, 3*time.Hour),
		used("graphql", "would_insufficient_access", 1, time.Minute),
	}) {
		got = append(got, strings.Join([]string{u.Name, u.Requests, u.Refused, u.Last.Words}, "|"))
	}
	if diff := cmp.Diff([]string{"graphql|1|0|1 minute ago", "rest|1,003|3|1 hour ago", "|2|2|3 hours ago"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhereRequestsWent(t *testing.T) {
	for want, target := range map[string]admin.Target{
		"": {}, "rest": {API: "rest"}, "rest/users": {API: "rest", Endpoint: "users"}, "v2/ other endpoints": {API: "v2", OtherEndpoints: true},
	} {
		if got := where(target); got != want {
			t.Errorf("%+v is %q", target, got)
		}
	}
}

func TestHeadsOfColumnsTurnTheOrderRound(t *testing.T) {
	head := func(current, label string) column {
		for _, c := range columnsOf(current) {
			if c.Label == label {
				return c
			}
		}
		return column{}
	}
	for _, x := range []struct{ current, label, sort, aria string }{
		{"", "Created", "created_at", "descending"},
		{"created_at", "Created", "newest", "ascending"},
		{"name", "Created", "newest", ""},
		{"", "Name", "name", ""},
		{"name", "Name", "-name", "ascending"},
		{"-name", "Name", "name", "descending"},
		{"name", "Last used", "-last_used_at", ""},
		{"-last_used_at", "Last used", "last_used_at", "descending"},
		{"name", "State", "", ""},
		{"nosuch", "Name", "name", ""},
	} {
		if got := head(x.current, x.label); got.Sort != x.sort || got.Aria != x.aria {
			t.Errorf("by %q, %s: %+v", x.current, x.label, got)
		}
	}
	for _, c := range plainColumns() {
		if c.Sort != "" || c.Aria != "" {
			t.Errorf("one key can be sorted: %+v", c)
		}
	}
}

func TestCompressionIsForWhoAsksForIt(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false, "x-gzip": false, "identity": false, "gzip;x": true,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Encoding", header)
		if takesGzip(r) != want {
			t.Errorf("%q: %v", header, !want)
		}
	}
}

func TestPermissionsInWords(t *testing.T) {
	for _, x := range []struct{ json, words, detail string }{
		{`{"mode":"all"}`, "All", ""},
		{`{"mode":"read_only"}`, "Read Only", ""},
		{`{"mode":"restricted","apis":{}}`, "Restricted: nothing", ""},
		{`{"mode":"restricted","apis":{"a":{"access":"none"},"b":{"access":"restricted"}}}`, "Restricted: nothing", "a: None"},
		{`{"mode":"restricted","apis":{"a":{"access":"write"}}}`, "Restricted: 1 API", "a: Read/Write"},
		{`{"mode":"restricted","apis":{"a":{"access":"read"},"b":{"access":"restricted","endpoints":{"y":"read","x":"write"}}}}`, "Restricted: 2 APIs", "a: Read Only\nb/x: Read/Write\nb/y: Read Only"},
	} {
		var p admin.Permissions
		if err := json.Unmarshal([]byte(x.json), &p); err != nil {
			t.Fatal(err)
		}
		if accessWords(p) != x.words || accessDetail(p) != x.detail {
			t.Errorf("%s is %q, %q", x.json, accessWords(p), accessDetail(p))
		}
	}
}

func TestInvisibleCharacters(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "ci": false, "مرحبا": false, "👩‍👩‍👧": false, "\u202egnp.exe": true, "a\u200bb": true, "\u2066x": true, "soft\u00adhyphen": true,
	} {
		if invisible(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestQuotedTextIsOneWordOfTheShell(t *testing.T) {
	for _, text := range []string{"", "ci", "a b", "it's", `"; reboot; "`, "$(reboot)", "`x`", "-n", "a\\b", "*", "~", "مرحبا", "!!", "#", "x=y", "'''"} {
		out, err := exec.Command("sh", "-c", "printf '%s' "+quote(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q became %q, %v", text, out, err)
		}
	}
}

func TestNextPageIsOursOrNone(t *testing.T) {
	for next, want := range map[string]string{
		"": "", "audit": "audit", "?q=x": "?q=x", "apis?x=1": "apis?x=1", "//evil": "", "https://evil": "", "delete?id=1": "", `\evil`: "",
		"audit/../x": "", "key?id=key_1&days=7": "key?days=7&id=key_1", "try?a=%zz": "", "?" + strings.Repeat("x", 2000): "", "audit?a=%0d%0aSet-Cookie": "audit?a=%0D%0ASet-Cookie",
	} {
		if got := safeNext(next); got != want {
			t.Errorf("%q leads to %q", next, got)
		}
	}
}

func TestEveryFaultOfTheAPIIsShown(t *testing.T) {
	f := &keyForm{}
	f.refuse(&admin.Problem{Status: 422, Title: "Invalid request", Detail: "name: too long; and 3 more", Errors: []admin.FieldError{
		{Field: "name", Message: "too long"},
		{Field: "permissions.apis.rest.endpoints.a.b", Message: "odd"},
		{Field: "expires_at", Message: "expected a time in the future, or null for never"},
		{Field: "metadata", Message: "who knows"},
	}})
	want := map[string]string{"name": "Too long.", "permissions": "Rest.a.b: odd.", "expires_at": "Expected a time in the future."}
	if diff := cmp.Diff(want, f.Faults); diff != "" {
		t.Error(diff)
	}
	if f.First() != "name" || !strings.Contains(f.Problem, "who knows") {
		t.Errorf("first %q, problem %q", f.First(), f.Problem)
	}
	f = &keyForm{}
	f.refuse(&admin.Problem{Status: 409, Title: "Last admin key", Detail: "this is the last"})
	if f.Problem != "This is the last." {
		t.Errorf("problem %q", f.Problem)
	}
}

func TestUnchangedPermissionsAreNotSent(t *testing.T) {
	stored := admin.Permissions{Mode: "restricted", APIs: map[string]admin.APIPermissions{
		"rest": {Access: "restricted", Endpoints: map[string]string{"a": "read", "b": "none"}}, "off": {Access: "none"}, "gone": {Access: "write"},
	}}
	same := admin.Permissions{Mode: "restricted", APIs: map[string]admin.APIPermissions{"rest": {Access: "restricted", Endpoints: map[string]string{"a": "read"}}}}
	if !samePermissions(same, stored, []string{"gone"}) {
		t.Error("equal permissions differ")
	}
	if samePermissions(same, stored, nil) || samePermissions(admin.Permissions{Mode: "all"}, stored, nil) {
		t.Error("different permissions are equal")
	}
}

func TestAuditTellsWhatDiffers(t *testing.T) {
	before := members(json.RawMessage(`{"id":"key_1","name":"a","owner":"","enabled":true,"permissions":{"mode":"all"},"metadata":{}}`))
	after := members(json.RawMessage(`{"id":"key_1","name":"b","owner":"","enabled":false,"permissions":{"mode":"read_only"},"metadata":{"x":"y"}}`))
	want := []difference{{"enabled", "yes", "no"}, {"metadata", "", `{"x":"y"}`}, {"name", "a", "b"}, {"permissions", "All", "Read Only"}}
	if diff := cmp.Diff(want, differences(before, after)); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{"", "null", "[]", "7", `"x"`, "{"} {
		if got := differences(members(json.RawMessage(text)), nil); len(got) != 0 {
			t.Errorf("%q has %v", text, got)
		}
	}
}

// The policy forbids them, so they would silently do nothing.
func TestTemplatesHaveNoInlineScriptOrStyle(t *testing.T) {
	inline := regexp.MustCompile(`(?i)\son[a-z]+=|\sstyle=|<style|javascript:|hx-on|"js:|https?://`)
	err := fs.WalkDir(templateFiles, "templates", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := templateFiles.ReadFile(name)
		if found := inline.Find(text); found != nil {
			t.Errorf("%s has %q", name, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVendoredFilesAreWhatWasVendored(t *testing.T) {
	sums, err := os.ReadFile("vendored/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(sums)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		text, err := os.ReadFile(path.Join("vendored", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(text); hex.EncodeToString(got[:]) != want {
			t.Errorf("%s is not what make assets wrote", name)
		}
	}
}
