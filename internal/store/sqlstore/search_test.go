package sqlstore

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestFoldForgetsLetterCaseAlone(t *testing.T) {
	for _, same := range [][]string{
		{"abc", "ABC", "aBc"},
		{"straße", "STRASSE", "Straẞe"},
		{"σ", "ς", "Σ"},
		{"k", "K", "\u212a"},
		{"\u00e9", "\u00c9", "e\u0301", "E\u0301"},
		{"ſ", "s", "S"},
		{"i", "I"},
		{"ﬀ", "ff", "FF"},
	} {
		for _, text := range same[1:] {
			if Fold(text) != Fold(same[0]) {
				t.Errorf("%q and %q differ: %q, %q", same[0], text, Fold(same[0]), Fold(text))
			}
		}
	}
	for _, different := range [][2]string{{"e", "é"}, {"a", "ä"}, {"0", "O"}, {" ", "\u00a0"}, {"i", "ı"}} {
		if Fold(different[0]) == Fold(different[1]) {
			t.Errorf("%q and %q are the same", different[0], different[1])
		}
	}
}

func TestFoldingTwiceIsFoldingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		once := Fold(text)
		if Fold(once) != once || !utf8.ValidString(once) || strings.Contains(once, separator) {
			t.Fatalf("%q: %q, then %q", text, once, Fold(once))
		}
	})
}

func TestShortCutOfFoldingFoldsAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[\x00-\x7f]*`).Draw(t, "text")
		if got, want := Fold(text), foldAny(text); got != want {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}

func TestFieldsAreKeptApart(t *testing.T) {
	k := &keys.Key{Name: "a\x1fb", Prefix: "P", ID: "key_1", Owner: ""}
	if got := Fields(searchText(k)); len(got) != 4 || got[0] != "a b" || got[1] != "p" || got[2] != "key_1" || got[3] != "" {
		t.Fatalf("fields %q", got)
	}
}
