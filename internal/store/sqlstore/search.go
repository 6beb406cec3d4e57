package sqlstore

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// separator stands between the fields of a key's searchable text, so that
// nothing is found across them. Fold removes it from everything else.
const separator = "\x1f"

// Fold returns text as it is searched: without the difference of letter case
// (Unicode's full case folding: ß is ss, Σ is σ is ς), and composed, so that
// é is found whether it was typed as one character or as two.
func Fold(text string) string {
	if isASCII(text) { // as most texts are: folding is a third of what an import takes of this process
		return strings.ToLower(strings.ReplaceAll(text, separator, " "))
	}
	return foldAny(text)
}

// foldAny is Fold for texts of any script.
func foldAny(text string) string {
	text = strings.ReplaceAll(text, separator, " ")
	text = norm.NFC.String(strings.ToValidUTF8(text, "\uFFFD"))
	// A Caser may keep state, so it is not shared. ToLower is for Cherokee,
	// whose cases this one exchanges instead of folding them.
	return norm.NFC.String(strings.ToLower(cases.Fold().String(text)))
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// searchText is what a key is found by.
func searchText(k *keys.Key) string {
	return strings.Join([]string{Fold(k.Name), Fold(k.Prefix), Fold(string(k.ID)), Fold(k.Owner)}, separator)
}

// Fields takes the searchable text of a key apart again.
func Fields(text string) []string { return strings.Split(text, separator) }
