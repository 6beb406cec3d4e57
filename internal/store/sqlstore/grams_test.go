package sqlstore

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The index must never hide a key: what is asked for a text is kept for every
// field that contains it.
func TestWhateverContainsATextHasItsGrams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`(key_)?[0-9a-f]{0,12}[a-z _%é-]{0,3}`))
		asked := Fold(text.Draw(t, "asked"))
		field := text.Draw(t, "before") + asked + text.Draw(t, "after")
		field = Fold(field)
		if !strings.Contains(field, asked) {
			return // composed with what stands beside it
		}
		kept := GramsToKeep(field)
		for _, gram := range GramsToAsk(asked) {
			if !slices.Contains(kept, gram) {
				t.Fatalf("%q is in %q, but its gram %q is not kept", asked, field, gram)
			}
		}
	})
}

func TestTheIndexIsAskedForFewGrams(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "a": 0, "ab": 0, "-_": 0, "é": 1, "aé": 1, "abc": 1, "key": 0, "key_": 0, "key_0": 1, "key_01jd2f": 6, "key_01jd2fg": 1,
		strings.Repeat("abcdefgh", 1000): 8, alphabet(300): 2 * askedGrams,
	} {
		if got := GramsToAsk(text); len(got) != want {
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
