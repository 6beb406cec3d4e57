package leak

import (
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// expression returns what a rule matches by, taken out of it.
func expression(t *testing.T, prefix, format string) *regexp.Regexp {
	t.Helper()
	text, err := Rules(prefix, format)
	if err != nil {
		t.Fatal(err)
	}
	line := map[string]string{
		"gitleaks":   `(?m)^regex = '''(.*)'''$`,
		"trufflehog": `(?m)^      secret: '(.*)'$`,
		"github":     `(?m)^Secret format:  (.*)$`,
	}[format]
	found := regexp.MustCompile(line).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("%s has no expression:\n%s", format, text)
	}
	pattern := found[1]
	if format == "github" {
		pattern = `(?:\A|[^0-9A-Za-z])(` + pattern + `)(?:\z|[^0-9A-Za-z])`
		for _, part := range []string{`Before secret:  \A|[^0-9A-Za-z]`, `After secret:   \z|[^0-9A-Za-z]`} {
			if !strings.Contains(text, part+"\n") {
				t.Errorf("github's %q is missing in\n%s", part, text)
			}
		}
	}
	return regexp.MustCompile(pattern)
}

func TestRulesFindEverySecretAndOnlyIt(t *testing.T) {
	for _, prefix := range []string{"kw", "acme", "my_long_prefix_0"} {
		for _, format := range Formats {
			e := expression(t, prefix, format)
			for range 200 {
				made, err := keys.NewSecret(prefix, nil)
				if err != nil {
					t.Fatal(err)
				}
				secret := made.Reveal()
				for _, text := range []string{
					secret, "Bearer " + secret, `KEY="` + secret + `"`, "https://x/?key=" + secret + "&a=b", secret + "\n", "API_KEY_" + secret,
					"x:" + secret + ".", "é" + secret + "é", secret + "_old",
				} {
					found := e.FindStringSubmatch(text)
					if found == nil || found[1] != secret {
						t.Fatalf("%s does not find the secret in %q: %q", format, text, found)
					}
				}
				for _, text := range []string{secret[:len(secret)-1], secret + "x", "x" + secret, strings.ToUpper(secret)} {
					if found := e.FindString(text); found != "" {
						t.Fatalf("%s finds %q in %q", format, found, text)
					}
				}
				if n := len(e.FindAllString(secret+"\r\n"+secret+", "+secret, -1)); n != 3 {
					t.Fatalf("%s finds %d of 3 secrets", format, n)
				}
			}
		}
	}
}

func TestFaultyRulesAreRefused(t *testing.T) {
	for _, c := range [][3]string{
		{"kw", "", "expected one of gitleaks, trufflehog, github"},
		{"kw", "GitLeaks", "expected one of"},
		{"", "gitleaks", "prefix"},
		{"a'''b", "gitleaks", "prefix"},
		{"A", "github", "prefix"},
		{"kw_", "github", "prefix"},
	} {
		if text, err := Rules(c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) || text != "" {
			t.Errorf("%q, %q: %q, %v", c[0], c[1], text, err)
		}
	}
}
