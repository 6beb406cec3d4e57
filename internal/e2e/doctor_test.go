package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type finding struct{ Severity, About, Text, Mend string }

// doctor examines a gateway's configuration.
func (g *Gateway) doctor() ([]finding, int) {
	g.t.Helper()
	out, stderr, status := g.finish(g.Command("doctor", "--config", g.Config, "--json"), "")
	var findings []finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		g.t.Fatalf("doctor printed %q, %q: %v", out, stderr, err)
	}
	return findings, status
}

// says fails the test unless there is a finding of that severity about that,
// whose text has the word in it.
func says(t *testing.T, findings []finding, severity, about, word string) {
	t.Helper()
	for _, f := range findings {
		if f.Severity == severity && f.About == about && strings.Contains(f.Text, word) {
			if severity != "ok" && f.Mend == "" {
				t.Errorf("%q says nothing of what to do", f.Text)
			}
			return
		}
	}
	t.Errorf("no %s about %s says %q; found %+v", severity, about, word, findings)
}

func toMend(findings []finding) (found []finding) {
	for _, f := range findings {
		if f.Severity == "fault" {
			found = append(found, f)
		}
	}
	return found
}

func TestTheDoctorFindsAHealthyGatewayHealthy(t *testing.T) {
	g, _ := start(t)
	findings, status := g.doctor()
	if status != 0 || len(toMend(findings)) != 0 {
		t.Errorf("exit status %d, faults %+v", status, toMend(findings))
	}
	says(t, findings, "ok", "configuration", "can be loaded")
	says(t, findings, "ok", "logs", "kept out")
	says(t, findings, "ok", "routes", "1 api_key_auth")
	says(t, findings, "ok", "store", "1 keys active")
	says(t, findings, "ok", "nodes", "every change")
	says(t, findings, "ok", "clock", "this machine")
	says(t, findings, "ok", "gateway", "is ready")
	says(t, findings, "note", "files", "still holds the first admin key")

	out, stderr, _ := g.finish(g.Command("doctor", "--config", g.Config), "")
	if !strings.Contains(out, "-> ") || stderr != "" {
		t.Errorf("for people it prints %q, and on standard error %q", out, stderr)
	}
}

func TestTheDoctorSaysWhatIsWrongAndFails(t *testing.T) {
	for _, c := range []struct {
		name         string
		spoil        func(t *testing.T, g *Gateway)
		about, words string
	}{
		{"the key's file is open to all", func(t *testing.T, g *Gateway) {
			t.Helper()
			for path, mode := range map[string]os.FileMode{"data": 0o755, "data/admin.key": 0o644} {
				if err := os.Chmod(filepath.Join(g.Dir, path), mode); err != nil {
					t.Fatal(err)
				}
			}
		}, "files", "0644"},
		{"every proxy is trusted", func(_ *testing.T, g *Gateway) {
			g.WriteConfig("{\nservers {\ntrusted_proxies static 0.0.0.0/0 ::/0\n}\n" + strings.TrimPrefix(caddyfile, "{"))
		}, "proxies", "every address"},
		{"the configuration can't be loaded", func(_ *testing.T, g *Gateway) {
			g.WriteConfig(strings.Replace(caddyfile, "reverse_proxy 127.0.0.1:9000", "root * {file./no/such\n reverse_proxy 127.0.0.1:9000 {\n lb_policy nonsense\n}", 1))
		}, "", ""},
		{"nothing is guarded", func(_ *testing.T, g *Gateway) {
			g.WriteConfig("http://localhost:8080 {\nreverse_proxy 127.0.0.1:9000\n}\n")
		}, "routes", "nothing is guarded"},
		{"the store is no database", func(t *testing.T, g *Gateway) {
			t.Helper()
			g.Stop()
			if err := os.WriteFile(filepath.Join(g.Dir, "data/keys.db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "store", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, _ := start(t)
			c.spoil(t, g)
			if c.about == "" {
				out, stderr, status := g.finish(g.Command("doctor", "--config", g.Config), "")
				if status != 1 || !strings.Contains(out+stderr, "nonsense") {
					t.Errorf("exit status %d: %s %s", status, out, stderr)
				}
				return
			}
			findings, status := g.doctor()
			if status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			says(t, findings, "fault", c.about, c.words)
		})
	}
}

func TestTheDoctorMakesNoFile(t *testing.T) {
	g := prepare(t, Options{Config: "{\nlog {\noutput file ./made.log\n}\n" + strings.TrimPrefix(caddyfile, "{")})
	findings, status := g.doctor()
	if status != 0 {
		t.Errorf("exit status %d before the first start: %+v", status, toMend(findings))
	}
	says(t, findings, "note", "store", "is not there yet")
	says(t, findings, "note", "gateway", "does not answer")
	for _, path := range []string{"data/keys.db", "made.log"} {
		if _, err := os.Stat(filepath.Join(g.Dir, path)); err == nil {
			t.Errorf("it made %s", path)
		}
	}
}
