package keys

import "strings"

// Sort is an order of a list of keys: one of the words below, or one with a
// minus before it for the other way round. "" is newest first.
type Sort string

// Keys that are equal in an order stand in that of their creation. Names are
// compared whatever their letter case, owners byte by byte; keys that never
// expire come last; the last use is compared to the day (of UTC), and counts
// as the creation where there was none.
const (
	SortName     Sort = "name"
	SortOwner    Sort = "owner"
	SortCreation Sort = "created_at"
	SortLastUse  Sort = "last_used_at"
	SortExpiry   Sort = "expires_at"
)

// Sorts are all orders.
func Sorts() []Sort {
	var all []Sort
	for _, by := range []Sort{SortName, SortOwner, SortCreation, SortLastUse, SortExpiry} {
		all = append(all, by, "-"+by)
	}
	return all
}

// By returns what is compared, and whether the greatest comes first.
func (s Sort) By() (by Sort, falls bool) {
	word, falls := strings.CutPrefix(string(s), "-")
	return Sort(word), falls
}
