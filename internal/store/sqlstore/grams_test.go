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
		kept := gramsToKeep(field)
		for _, gram := range gramsToAsk(asked) {
			if !slices.Contains(kept, gram) {
				t.Fatalf("%q is in %q, but its gram %q is not kept", asked, field, gram)
			}
		}
	})
}

func gramsToKeep(field string) (kept []string) {
	eachGram(field, func(gram string) { kept = append(kept, gram) })
	return kept
}

func TestTheIndexIsAskedForFewGrams(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "a": 0, "ab": 0, "07": 0, "-_": 1, "x": 1, "zq": 1, "é": 1, "aé": 1, "abc": 1, "key": 0, "key_": 0, "_": 0, "key_0": 1, "key_01jd2f": 6,
		strings.Repeat("abcdefgh", 1000): 8, alphabet(300): 2 * askedGrams,
	} {
		if got := gramsToAsk(text); len(got) != want {
			t.Errorf("%.20q: %q, want %d grams", text, got, want)
		}
	}
}

func TestGramsAreRunsOfUpToThreeCharacters(t *testing.T) {
	for field, want := range map[string][]string{
		"": nil, "a": nil, "ab1": {"ab1"}, "é": {"é"}, "zé🔑": {"z", "é", "zé", "🔑", "é🔑", "zé🔑"}, "key_0": {"_0", "y_0"},
	} {
		if got := gramsToKeep(field); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", field, got, want)
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
