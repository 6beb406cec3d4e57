package admin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// report sends a report without any key, from an address of its own.
func (s *site) report(path, body string, headers ...string) response {
	s.t.Helper()
	return s.do("POST", path, body, append([]string{"Authorization: "}, headers...)...)
}

func leakBody(t *testing.T, members map[string]any) string {
	t.Helper()
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lastAudit returns the newest entry of the audit.
func (s *site) lastAudit() keys.AuditEntry {
	s.t.Helper()
	entries, _, err := s.store.Audit(context.Background(), keys.AuditQuery{Limit: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	return entries[0]
}

func TestALeakedSecretIsRefusedFromTheNextRequestOn(t *testing.T) {
	s := newSite(t)
	created := s.create(`{"permissions": {"mode": "all"}}`)
	secret := created.get("secret")
	if d := s.decide("GET", "/rest/users", secret); !d.Allowed() {
		t.Fatal(d.Detail())
	}
	answer := s.report("/v1/leaks", leakBody(t, map[string]any{"secret": secret, "source": "grep", "url": "https://paste.example/?q=" + secret}))
	if want := `{"status":"accepted"}`; answer.want(202).text != want {
		t.Errorf("answers %s, want %s", answer.text, want)
	}
	if d := s.decide("GET", "/rest/users", secret); d.Outcome.Code() != "disabled_key" {
		t.Errorf("the very next request: %s", d.Detail())
	}
	entry := s.lastAudit()
	if entry.Action != "leak" || entry.Actor != "leak-report" || entry.IP != "203.0.113.7" || string(entry.Key) != created.get("id") {
		t.Errorf("the audit says %+v", entry)
	}
	if after := string(entry.After); !strings.Contains(after, `"url":"https://paste.example/?q=[secret]"`) || !strings.Contains(after, `"source":"grep"`) ||
		strings.Contains(after, secret) {
		t.Errorf("the audit says %s", after)
	}
	s.do("GET", "/v1/audit", "").want(200)
	before := s.stored()
	if again := s.report("/v1/leaks", leakBody(t, map[string]any{"secret": secret})); again.want(202).text != answer.text || s.stored() != before {
		t.Errorf("the second time: %s, or something was stored", again.text)
	}
}

func TestAReportIsAnsweredAlikeWhetherTheSecretExistsOrNot(t *testing.T) {
	s := newSite(t)
	known := s.create(`{"permissions": {"mode": "all"}}`).get("secret")
	unknown, err := keys.NewSecret(keys.DefaultPrefix, nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]bool{}
	for _, secret := range []string{unknown.Reveal(), known, known, "somebody-elses", strings.Repeat("x", 512)} {
		answer := s.report("/v1/leaks", leakBody(t, map[string]any{"secret": secret})).want(202)
		answer.header.Del("Date")
		texts[answer.text+fmt.Sprint(answer.header)] = true
	}
	if len(texts) != 1 {
		t.Errorf("answers differ: %v", texts)
	}
}

func TestTheLastAdminKeyIsDisabledWhenItLeaks(t *testing.T) {
	s := newSite(t)
	s.report("/v1/leaks", leakBody(t, map[string]any{"secret": s.admin})).want(202)
	s.do("GET", "/v1/whoami", "").problem(401, "disabled_key")
}

func TestOfARotatedKeyTheSecretThatWasFoundEnds(t *testing.T) {
	s := newSite(t)
	created := s.create(`{"permissions": {"mode": "all"}}`)
	current := s.do("POST", "/v1/keys/"+created.get("id")+"/rotate", `{"grace_seconds": 3600}`).want(200).get("secret")
	s.report("/v1/leaks", leakBody(t, map[string]any{"secret": created.get("secret")})).want(202)
	if d := s.decide("GET", "/rest/users", created.get("secret")); d.Outcome.Code() != "unknown_key" {
		t.Errorf("the secret that was found: %s", d.Detail())
	}
	if d := s.decide("GET", "/rest/users", current); !d.Allowed() {
		t.Errorf("the current secret: %s", d.Detail())
	}
}

func TestALeakedAdminKeyOfTheConfigurationIsLogged(t *testing.T) {
	const configured = "s3cret-from-the-environment"
	var log bytes.Buffer
	s := newSite(t, withConfigAdmin(t, configured), func(o *admin.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s.report("/v1/leaks", leakBody(t, map[string]any{"secret": configured, "url": "https://example.com/" + configured})).want(202)
	if !strings.Contains(log.String(), "reported as leaked") || strings.Contains(log.String(), configured) {
		t.Errorf("the log says %s", log.String())
	}
}

func TestAnAddressMayReportTenLeaksAMinute(t *testing.T) {
	s := newSite(t)
	body := leakBody(t, map[string]any{"secret": "x"})
	for range 10 {
		s.report("/v1/leaks", body, "Test-From: 2001:db8::1").want(202)
	}
	secret := s.create(`{"permissions": {"mode": "all"}}`).get("secret")
	refused := s.report("/v1/leaks", leakBody(t, map[string]any{"secret": secret}), "Test-From: 2001:db8::2").problem(429, "too_many_reports")
	if wait, err := strconv.Atoi(refused.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
		t.Errorf("Retry-After is %q", refused.header.Get("Retry-After"))
	}
	if d := s.decide("GET", "/rest/users", secret); !d.Allowed() {
		t.Errorf("what was refused has ended the key: %s", d.Detail())
	}
	s.report("/v1/leaks", body, "Test-From: 2001:db9::1").want(202)
	s.pass(10 * time.Second)
	s.report("/v1/leaks", body, "Test-From: 2001:db8::1").want(202)
}

func TestHostileReportsChangeNothingAndShowNothing(t *testing.T) {
	s := newSite(t)
	secret := s.create(`{"permissions": {"mode": "all"}}`).get("secret")
	before := s.stored()
	quoted := `"` + secret + `"`
	for i, c := range []struct {
		body   string
		status int
		code   string
	}{
		{"", 415, "unsupported_media_type"},
		{"{", 400, "invalid_json"},
		{`[]`, 422, "invalid_request"},
		{`null`, 422, "invalid_request"},
		{`{}`, 422, "invalid_request"},
		{`{"secret": ""}`, 422, "invalid_request"},
		{`{"secret": [` + quoted + `]}`, 422, "invalid_request"},
		{`{"secret": "` + secret + ` "}`, 422, "invalid_request"},
		{`{"secret": "` + strings.Repeat("x", 513) + `"}`, 422, "invalid_request"},
		{`{"secret": ` + quoted + `, "token": ` + quoted + `}`, 422, "invalid_request"},
		{`{"Secret": ` + quoted + `}`, 422, "invalid_request"},
		{`{"secret": ` + quoted + `, "secret": ` + quoted + `}`, 400, "invalid_json"},
		{`{"secret": ` + quoted + `} ` + quoted, 400, "invalid_json"},
		{`{"secret": ` + quoted + `, "source": "` + strings.Repeat("x", 101) + `"}`, 422, "invalid_request"},
		{`{"secret": ` + quoted + `, "url": "` + strings.Repeat("x", 2001) + `"}`, 422, "invalid_request"},
		{`{"secret": ` + quoted + `, "url": "a\nb"}`, 422, "invalid_request"},
		{`{"secret": ` + quoted + `, "url": "` + strings.Repeat("x", 20<<10) + `"}`, 413, "body_too_large"},
	} {
		answer := s.report("/v1/leaks", c.body, fmt.Sprintf("Test-From: 198.51.100.%d", i))
		answer.problem(c.status, c.code)
		if strings.Contains(answer.text, secret) {
			t.Errorf("%s\nis answered with the secret: %s", c.body, answer.text)
		}
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
}

// signedByTest takes the key "test" and the SHA-256 of the body for GitHub's:
// what signatures are is the business of package leak.
func signedByTest(o *admin.Options) {
	o.GitHub = func(body []byte, id, signature string) error {
		if sum := sha256.Sum256(body); id != "test" || signature != base64.StdEncoding.EncodeToString(sum[:]) {
			return errors.New("not signed")
		}
		return nil
	}
}

func signed(body string) []string {
	sum := sha256.Sum256([]byte(body))
	return []string{"GITHUB-PUBLIC-KEY-IDENTIFIER: test", "GITHUB-PUBLIC-KEY-SIGNATURE: " + base64.StdEncoding.EncodeToString(sum[:])}
}

func TestAnAlertOfGitHubIsAnsweredInItsForm(t *testing.T) {
	s := newSite(t, signedByTest)
	secret := s.create(`{"permissions": {"mode": "all"}}`).get("secret")
	other := s.create(`{"permissions": {"mode": "all"}}`).get("secret")
	tokens := []string{secret, "kw_nobodys", "X-API-Key: " + other, "two words"}
	body := `[{"token":"` + tokens[0] + `","type":"keywarden_key","url":"https://github.com/a/b","source":"content","future":{"a":[1]}},` +
		`{"token":"` + tokens[1] + `","type":"t"},{"token":"` + tokens[2] + `","type":"t","url":null},{"token":"` + tokens[3] + `","type":"t"}]`
	want := make([]admin.GitHubVerdict, len(tokens))
	for i, token := range tokens {
		hash := sha256.Sum256([]byte(token))
		label := "false_positive"
		if i%2 == 0 {
			label = "true_positive"
		}
		want[i] = admin.GitHubVerdict{TokenHash: base64.StdEncoding.EncodeToString(hash[:]), TokenType: "t", Label: label}
	}
	want[0].TokenType = "keywarden_key"
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if answer := s.report("/v1/leaks/github", body, signed(body)...).want(200); answer.text != string(text) {
		t.Errorf("answers %s, want %s", answer.text, text)
	}
	for _, one := range []string{secret, other} {
		if d := s.decide("GET", "/rest/users", one); d.Outcome.Code() != "disabled_key" {
			t.Errorf("a secret that was found: %s", d.Detail())
		}
	}
	before := s.stored()
	s.report("/v1/leaks/github", body, signed(body)...).want(200) // sent again
	if s.stored() != before {
		t.Error("the same alert once more was stored")
	}
}

func TestAnAlertThatGitHubHasNotSignedChangesNothing(t *testing.T) {
	s := newSite(t, signedByTest)
	secret, _ := s.seed("a", permission.Set{Mode: permission.All}, permission.None)
	body := `[{"token":"` + secret + `","type":"t"}]`
	fine := signed(body)
	for _, headers := range [][]string{nil, fine[:1], fine[1:], {fine[0], "GITHUB-PUBLIC-KEY-SIGNATURE: x"}, signed(body + " ")} {
		s.report("/v1/leaks/github", body, headers...).problem(403, "bad_signature")
	}
	twice, err := http.NewRequestWithContext(t.Context(), "POST", s.server.URL+"/v1/leaks/github", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	twice.Header = http.Header{"Content-Type": {"application/json"}, "Github-Public-Key-Identifier": {"test", "test"}}
	twice.Header.Set("Github-Public-Key-Signature", strings.TrimPrefix(fine[1], "GITHUB-PUBLIC-KEY-SIGNATURE: "))
	s.send(twice).problem(403, "bad_signature")
	if d := s.decide("GET", "/rest/users", secret); !d.Allowed() {
		t.Errorf("the key: %s", d.Detail())
	}
	for body, status := range map[string]int{`{}`: 422, `[1]`: 422, `[{"type":"t"}]`: 422, `[`: 400, "[" + strings.Repeat(`{"token":"a","type":"t"},`, 500) + `{"token":"a","type":"t"}]`: 422} {
		if answer := s.report("/v1/leaks/github", body, signed(body)...); answer.status != status {
			t.Errorf("%.40s is answered with %d, want %d", body, answer.status, status)
		}
	}
	if answer := s.report("/v1/leaks/github", "[]", signed("[]")...).want(200); answer.text != "[]" {
		t.Errorf("nothing is answered with %s", answer.text)
	}
}

func TestReportsThatAreNotWantedHaveNoPath(t *testing.T) {
	newSite(t).report("/v1/leaks/github", `[]`, signed("[]")...).problem(404, "not_found")
	off := newSite(t, signedByTest, func(o *admin.Options) { o.NoLeakReports = true })
	off.report("/v1/leaks", `{"secret": "x"}`).problem(404, "not_found")
	off.report("/v1/leaks/github", `[]`, signed("[]")...).problem(404, "not_found")
}
