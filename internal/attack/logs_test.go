package attack

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// Nobody who sends requests writes a line of the log, or to the terminal that
// shows it.
func TestNoRequestForgesALineOfTheLog(t *testing.T) {
	recorder := e2e.NewUpstream(t)
	s := newSite(t, "\tlog\n"+guarded, []upstream{{name: "recorder", address: recorder.Address}})
	key := s.Create(nil)
	const line = `{"level":"error","ts":1,"msg":"forged"}`
	w := wire{address: s.address}
	defer w.close()
	for n, evil := range []string{
		"a\r" + line, "%0d%0a" + line, "\x1b[2J\x1b]0;x\x07", "\x9b31m", "\u202eabc", "\u2028" + line, "\x00" + line, `"}` + line, `\n` + line, "\\u000a" + line, strings.Repeat("x", 20_000), "\xff\xfe", "${jndi:ldap://x}", "%s%n%d",
	} {
		for _, request := range []request{
			{target: "/else?" + evil},
			{target: "/" + evil},
			{target: "/else", headers: "User-Agent: " + evil + "\r\n"},
			{target: "/else", headers: "X-Forwarded-For: " + evil + "\r\nReferer: " + evil + "\r\n"},
			{target: "/v2/" + evil + "/run"},
			{target: "/else", method: "GET" + evil},
		} {
			if request.method == "" {
				request.method = "GET"
			}
			request.version = "HTTP/1.1"
			for _, secret := range []string{key.Secret, evil} {
				if _, _, err := w.exchange("GET", request.text(s.host(0), secret, n)); err != nil {
					w.close() // it was no HTTP
				}
			}
		}
		// What people may say about a key, and whoever reads it back.
		body := map[string]any{"name": evil, "owner": evil, "permissions": map[string]any{"mode": "all"}}
		if answer := s.Admin("POST", "/v1/keys", body, e2e.Header{Name: "User-Agent", Value: "test " + strconv.Itoa(n)}); answer.Status >= 500 {
			t.Errorf("a key named %q is answered %s", evil, answer)
		}
	}
	lines := 0
	for text := range strings.Lines(s.Output()) {
		text = strings.TrimSuffix(text, "\n")
		var entry struct {
			Level, Msg string
		}
		if err := json.Unmarshal([]byte(text), &entry); err != nil || entry.Msg == "forged" {
			t.Errorf("the log has the line %s", clip(text))
		}
		if i := strings.IndexFunc(text, unicode.IsControl); i >= 0 {
			t.Errorf("the log has the control character %q in %s", text[i], clip(text))
		}
		lines++
	}
	if lines < 100 {
		t.Errorf("the log has only %d lines", lines)
	}
}
