package sqlstore

// A term is the hash of what keys are found by. Two that share a hash make a
// candidate too many. What is no gram begins with a character that no text has.

const (
	ownerMark = "\x01"
	apiMark   = "\x02"
)

func gramTerm(gram string) uint32 { return hashOf("", gram) }

// ownerTerm takes the folded owner, as it stands in the searchable text.
func ownerTerm(owner string) uint32 { return hashOf(ownerMark, owner) }

func apiTerm(api string) uint32 { return hashOf(apiMark, api) }

// hashOf is FNV-1a, and mixed: its highest bits choose the bucket.
func hashOf(mark, text string) uint32 {
	h := uint32(2166136261)
	for i := range len(mark) {
		h = (h ^ uint32(mark[i])) * 16777619
	}
	for i := range len(text) {
		h = (h ^ uint32(text[i])) * 16777619
	}
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// termsOf returns the terms of the key n with this searchable text and these
// APIs. Some come several times.
func termsOf(n int64, text string, apis []string) entry {
	fields := Fields(text)
	e := entry{n, make([]uint32, 0, 3*len(text)/2)}
	for _, field := range fields {
		eachGram(field, func(gram string) { e.terms = append(e.terms, gramTerm(gram)) })
	}
	e.terms = append(e.terms, ownerTerm(fields[len(fields)-1]))
	for _, api := range apis {
		e.terms = append(e.terms, apiTerm(api))
	}
	return e
}

// wanted is one thing that is asked of a key: that it has one of some terms.
type wanted []uint32

func wantedText(text string) (all []wanted) {
	for _, gram := range gramsToAsk(text) {
		all = append(all, wanted{gramTerm(gram)})
	}
	return all
}
