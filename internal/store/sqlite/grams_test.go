package sqlite

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// The index must never hide a key: what is asked for a text is kept for every
// field that contains it.
func TestWhateverContainsATextHasItsGrams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`(key_)?[0-9a-f]{0,12}[a-z _%é-]{0,3}`))
		asked := sqlstore.Fold(text.Draw(t, "asked"))
		field := text.Draw(t, "before") + asked + text.Draw(t, "after")
		field = sqlstore.Fold(field)
		if !strings.Contains(field, asked) {
			return // composed with what stands beside it
		}
		kept := gramsToKeep(field)
		for _, token := range gramsToAsk(asked) {
			if !slices.Contains(kept, token) {
				t.Fatalf("%q is in %q, but its gram %s is not kept", asked, field, token)
			}
		}
	})
}

func TestTokensAreOnlyHexadecimal(t *testing.T) {
	for _, text := range []string{`a"b" OR c*`, "🔑日本", "\x00\x01\x02", "x\xffy", `^{}():'\`} {
		for _, token := range gramsToKeep(text) {
			if strings.Trim(token, "0123456789abcdef") != "" {
				t.Errorf("%q has the token %q", text, token)
			}
		}
	}
}

func TestTheIndexIsAskedForFewGrams(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "a": 0, "ab": 0, "-_": 0, "é": 1, "aé": 1, "abc": 1, "key": 0, "key_": 0, "key_0": 1, "key_01jd2f": 6, "key_01jd2fg": 1,
		strings.Repeat("abcdefgh", 1000): 8, alphabet(300): 2 * askedGrams,
	} {
		if got := gramsToAsk(text); len(got) != want {
			t.Errorf("%.20q: %q, want %d grams", text, got, want)
		}
	}
}

// alphabet returns n different characters.
func alphabet(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteRune(rune('一' + i))
	}
	return text.String()
}
