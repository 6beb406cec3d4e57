package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The rules find a secret that the gateway has made, with the prefix that its
// configuration says.
func TestLeakRulesFindTheGatewaysOwnSecrets(t *testing.T) {
	config := strings.Replace(caddyfile, "store sqlite ./data/keys.db", "store sqlite ./data/keys.db\n\t\tkey_prefix acme", 1)
	g := Start(t, Options{Config: config})
	secret := g.Create(nil).Secret
	if !strings.HasPrefix(secret, "acme_") {
		t.Fatalf("the secret begins with %.5s", secret)
	}
	for _, format := range []string{"gitleaks", "trufflehog", "github"} {
		out, stderr, status := g.finish(g.Command("leak-rules", "--config", g.Config, "--format", format), "")
		if status != 0 {
			t.Fatalf("%s: %d %s", format, status, stderr)
		}
		found := regexp.MustCompile(`acme_\[0-9A-Za-z\]\{\d+\}`).FindString(out)
		if found == "" || !regexp.MustCompile("^"+found+"$").MatchString(secret) {
			t.Errorf("%s prints\n%s, which does not find the secret", format, out)
		}
	}
	if out, _, status := g.finish(g.Command("leak-rules"), ""); status != 0 || !strings.Contains(out, "kw_[0-9A-Za-z]{38}") {
		t.Errorf("without flags: %d\n%s", status, out)
	}
	broken := filepath.Join(t.TempDir(), "broken.Caddyfile")
	if err := os.WriteFile(broken, []byte("{\napi_keys {\nkey_prefix UPPER\n}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--format", "grep"}, 2, "expected one of gitleaks, trufflehog, github"},
		{[]string{"--prefix", "A!"}, 2, "prefix"},
		{[]string{"--prefix", "kw", "--config", g.Config}, 2, "expected one of them"},
		{[]string{"--config", broken}, 1, "key_prefix"},
		{[]string{"--config", "/does/not/exist"}, 1, "no such file"},
	} {
		out, stderr, status := g.finish(g.Command(append([]string{"leak-rules"}, c.args...)...), "")
		if status != c.status || out != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%v ends with %d, %q, %q; want %d and %q", c.args, status, out, stderr, c.status, c.want)
		}
	}
}
