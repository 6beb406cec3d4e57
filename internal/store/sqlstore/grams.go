package sqlstore

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A gram is a run of three characters that stands in a key's searchable text.
// Whoever contains a text contains its grams: an index of grams finds all keys
// that may contain a text, and of the others it finds few.

// askedGrams is how many grams at either end of a text are looked at: more say
// nothing new, and a text may be as long as a request.
const askedGrams = 12

// idHead is what ids begin with, in grams that every key has: they say nothing
// and are not kept.
const idHead = "key_"

// gramsToAsk returns grams that every key has that contains text, each once,
// or none if an index of them doesn't know.
func gramsToAsk(text string) []string {
	bounds := boundsOf(text)
	size := min(3, len(bounds)-1)
	var grams []string
	for i := 0; i+size < len(bounds) && size > 0; i++ {
		if gram := text[bounds[i]:bounds[i+size]]; isKept(gram, size) {
			grams = append(grams, gram)
		}
	}
	if len(grams) > 2*askedGrams {
		grams = append(grams[:askedGrams], grams[len(grams)-askedGrams:]...)
	}
	slices.Sort(grams)
	return slices.Compact(grams)
}

// boundsOf returns where the characters of text begin, and its end.
func boundsOf(text string) []int {
	bounds := make([]int, 0, len(text)+1)
	for i := range text {
		bounds = append(bounds, i)
	}
	return append(bounds, len(text))
}

// eachGram yields the grams of a field that are kept: runs of three characters,
// and shorter ones for texts that are shorter. Some come several times.
func eachGram(field string, yield func(gram string)) {
	one, two := -1, -1 // where the runs of two and three characters begin
	for i := 0; i < len(field); {
		_, width := utf8.DecodeRuneInString(field[i:])
		end := i + width
		for size, from := range [...]int{i, one, two} {
			if from >= 0 && isKept(field[from:end], size+1) {
				yield(field[from:end])
			}
		}
		one, two, i = i, one, end
	}
}

// isKept reports whether the index knows a gram of size characters. It leaves
// out what every key has, and runs of one and two hexadecimal digits: those
// stand in so many ids that looking at the newest keys finds a page of them.
func isKept(gram string, size int) bool {
	if idHeads[gram[0]] && strings.Contains(idHead, gram) {
		return false
	}
	if size == 3 {
		return true
	}
	for i := range len(gram) {
		if !hexadecimal[gram[i]] {
			return true
		}
	}
	return false
}

// Tables, as each key that is imported has some two hundred grams.
var (
	idHeads     = tableOf(idHead)
	hexadecimal = tableOf("0123456789abcdef")
)

func tableOf(characters string) (table [256]bool) {
	for i := range len(characters) {
		table[characters[i]] = true
	}
	return table
}
