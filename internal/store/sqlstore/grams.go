package sqlstore

import (
	"slices"
	"strings"
)

// A gram is a run of three characters that stands in a key's searchable text.
// Whoever contains a text contains its grams: an index of grams finds all keys
// that may contain a text, and of the others it finds few.

// askedGrams is how many grams at either end of a text are asked for. With
// one fewer, a text whose other grams every key has would be looked for in
// every key; one more costs at most some 5 ms among a million keys.
const askedGrams = 12

// idHead is what ids begin with, in grams that every key has: they say nothing
// and are not kept. idAge is how many digits after it stay the same for 49
// days; grams of these are kept, but not asked for where there are others.
const (
	idHead = "key_"
	idAge  = 4
)

// GramsToAsk returns grams that every key has that contains text, or none if
// an index of them doesn't know.
func GramsToAsk(text string) []string {
	bounds := boundsOf(nil, text)
	if size := len(bounds) - 1; size < 3 {
		return appendGrams(nil, text, bounds, size)
	}
	if digits, ok := strings.CutPrefix(text, idHead); ok && len(digits) >= idAge+3 {
		text = digits[idAge:]
		bounds = boundsOf(nil, text)
	}
	grams := appendGrams(nil, text, bounds, 3)
	if len(grams) > 2*askedGrams {
		grams = append(grams[:askedGrams], grams[len(grams)-askedGrams:]...)
	}
	slices.Sort(grams)
	return slices.Compact(grams)
}

// GramsToKeep returns the grams of a searchable text, each once. Runs of three
// characters are kept, and shorter ones for texts that are shorter.
func GramsToKeep(text string) []string {
	grams := make([]string, 0, len(text))
	var bounds []int
	for _, field := range Fields(text) {
		bounds = boundsOf(bounds[:0], field)
		for size := 3; size > 0; size-- {
			grams = appendGrams(grams, field, bounds, size)
		}
	}
	slices.Sort(grams)
	return slices.Compact(grams) // a long text has many twice
}

// boundsOf appends where the characters of text begin, and its end.
func boundsOf(bounds []int, text string) []int {
	for i := range text {
		bounds = append(bounds, i)
	}
	return append(bounds, len(text))
}

// appendGrams appends the runs of size characters in text. Runs shorter than
// three are left out if they are plain: those stand in so many ids that
// looking at the newest keys finds a page of them at once.
func appendGrams(grams []string, text string, bounds []int, size int) []string {
	if size == 0 {
		return grams
	}
	for i := 0; i+size < len(bounds); i++ {
		gram := text[bounds[i]:bounds[i+size]]
		if size < 3 && isPlain(gram) || strings.Contains(idHead, gram) {
			continue
		}
		grams = append(grams, gram)
	}
	return grams
}

// isPlain reports whether text has only characters that ids and prefixes have.
func isPlain(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
