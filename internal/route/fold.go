package route

import (
	"unicode"
	"unicode/utf8"
)

// Letter case is compared by folding every rune to one representative of all
// runes that some upstream could take for it: Unicode's simple folding (U+212A
// KELVIN SIGN is k, ſ is s), and the upper and lower case mappings that Java's
// and .NET's comparisons use (ı is i).

// foldRune returns the representative of r. It never takes more bytes in
// UTF-8 than r, so that folding in place is possible.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	return smallestOfOrbit(unicode.ToLower(unicode.ToUpper(r)))
}

// smallestOfOrbit returns the lower-case ASCII letter of r's folding orbit, or
// else its smallest rune.
func smallestOfOrbit(r rune) rune {
	smallest := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		smallest = min(smallest, f)
	}
	if 'A' <= smallest && smallest <= 'Z' {
		smallest += 'a' - 'A'
	}
	return smallest
}

// appendFold appends s, folded. Invalid UTF-8 becomes U+FFFD, which is in no
// pattern.
func appendFold(dst []byte, s string) []byte {
	for _, r := range s {
		dst = utf8.AppendRune(dst, foldRune(r))
	}
	return dst
}

// plain reports whether s is ASCII without capitals: folding leaves it alone.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// equalFold compares two strings by their folded runes.
func equalFold(a, b string) bool {
	for a != "" && b != "" {
		r, n := utf8.DecodeRuneInString(a)
		q, m := utf8.DecodeRuneInString(b)
		if r != q && foldRune(r) != foldRune(q) {
			return false
		}
		a, b = a[n:], b[m:]
	}
	return a == b
}
