package storetest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var sortedTests = map[string]func(*suite){
	"keys in every order, in pages of every size":     sortedPages,
	"names in order whatever their letter case":       sortedNames,
	"every order with every other filter":             sortedFiltered,
	"many keys that pass a filter, in order":          sortedMany,
	"pages in order stay while keys come and go":      sortedMoving,
	"a cursor goes on in its own order only":          sortedCursor,
	"an order that does not exist is an error":        sortedUnknown,
	"texts of any length and script have their order": sortedHostile,
}

// mixed are keys whose fields are in no order, and often equal.
func mixed(s *suite, n int) []keys.New {
	s.Helper()
	var all []keys.New
	for i := range n {
		k := newKey(fmt.Sprintf("%s %d", []string{"gamma", "Alpha", "beta", "ζ", "ALPHA"}[i*7%5], i%4),
			owner([]string{"", "team-b", "team-a"}[i*5%3]), createdAt(day(-50+i%3)))
		k.Key.Enabled = i/6%2 == 0
		k.Key.ExpiresAt = []time.Time{{}, start.Add(time.Hour), start.Add(time.Minute)}[i*11%3]
		[]func(*keys.Key){
			func(*keys.Key) {}, restricted(s), restricted(s, permission.Grant{API: "a", Access: permission.Read}),
			restricted(s, permission.Grant{API: "b", Access: permission.Write}),
		}[i/5%4](&k.Key)
		all = append(all, k)
	}
	s.create(all...)
	used := map[keys.ID]time.Time{}
	for i := range all {
		if i%4 == 0 {
			all[i].Key.LastUsedAt = day(-40 + i%5)
			used[all[i].Key.ID] = all[i].Key.LastUsedAt
		}
	}
	s.must(s.Touch(s.Context(), used))
	return all
}

// inOrder returns the keys in an order: made in that of their creation.
func inOrder(all []keys.New, sort keys.Sort) []keys.New {
	by, falls := sort.By()
	sorted := slices.Clone(all)
	if falls {
		slices.Reverse(sorted)
	}
	slices.SortStableFunc(sorted, func(a, b keys.New) int {
		c := compareBy(by, &a.Key, &b.Key)
		if falls {
			return -c
		}
		return c
	})
	return sorted
}

func compareBy(by keys.Sort, a, b *keys.Key) int {
	switch by {
	case keys.SortName:
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	case keys.SortOwner:
		return cmp.Compare(a.Owner, b.Owner)
	case keys.SortExpiry:
		return cmp.Compare(endOf(a), endOf(b))
	case keys.SortLastUse:
		return keys.Day.Floor(lastUse(a)).Compare(keys.Day.Floor(lastUse(b)))
	}
	return 0
}

func endOf(k *keys.Key) int64 {
	if k.ExpiresAt.IsZero() {
		return math.MaxInt64
	}
	return k.ExpiresAt.UnixMilli()
}

func lastUse(k *keys.Key) time.Time {
	if k.LastUsedAt.IsZero() {
		return k.CreatedAt
	}
	return k.LastUsedAt
}

// pagesOfIDs is pages by ids: names may be equal.
func (s *suite) pagesOfIDs(q keys.Query) (all []string) {
	s.Helper()
	q.Now = start
	for {
		page, next, err := s.List(s.Context(), q)
		s.must(err)
		if next != "" && len(page) != q.Limit {
			s.Fatalf("a page of %d keys, limit %d", len(page), q.Limit)
		}
		for _, k := range page {
			all = append(all, string(k.ID))
		}
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}

func idsOf(all []keys.New, passes func(*keys.Key) bool) (ids []string) {
	for i := range all {
		if passes(&all[i].Key) {
			ids = append(ids, string(all[i].Key.ID))
		}
	}
	return ids
}

func everyOne(*keys.Key) bool { return true }

func sortedPages(s *suite) {
	all := mixed(s, 60)
	for _, sort := range keys.Sorts() {
		want := idsOf(inOrder(all, sort), everyOne)
		for _, limit := range []int{1, 7, 59, 60, 61} {
			s.equal(fmt.Sprintf("by %s, pages of %d", sort, limit), s.pagesOfIDs(keys.Query{Sort: sort, Limit: limit}), want)
		}
	}
}

func sortedNames(s *suite) {
	for _, name := range []string{"b", "A", "Ä", "a2", "B", "ß", "ss", "_", "é", "e\u0301", "Z"} {
		s.created(name)
	}
	s.equal("names", s.list(keys.Query{Sort: keys.SortName}), []string{"_", "A", "a2", "b", "B", "ß", "ss", "Z", "Ä", "é", "e\u0301"})
}

func sortedFiltered(s *suite) {
	all := mixed(s, 60)
	owned := "team-a"
	for _, q := range combinations(&owned) {
		q.Now = start
		for _, sort := range []keys.Sort{keys.SortName, "-" + keys.SortExpiry, keys.SortLastUse} {
			q.Sort, q.Limit = sort, 5
			want := idsOf(inOrder(all, sort), func(k *keys.Key) bool { return selects(q, k) })
			s.equal(fmt.Sprintf("by %s: owner %t, text %q, api %q, status %q", sort, q.Owner != nil, q.Text, q.API, q.Status), s.pagesOfIDs(q), want)
		}
	}
	q := keys.Query{Sort: "-" + keys.SortName, UnusedSince: day(-38), Limit: 7}
	want := idsOf(inOrder(all, q.Sort), func(k *keys.Key) bool { return lastUse(k).Before(keys.Day.Floor(q.UnusedSince)) })
	s.equal("unused ones", s.pagesOfIDs(q), want)
}

// Beyond two thousand the order's index is read, and not the filter's.
func sortedMany(s *suite) {
	all := mixed(s, 5000)
	for _, q := range []keys.Query{{Status: keys.Active}, {Text: "a"}, {API: "a"}} {
		q.Now = start
		for _, sort := range []keys.Sort{keys.SortName, "-" + keys.SortLastUse} {
			q.Sort, q.Limit = sort, 200
			want := idsOf(inOrder(all, sort), func(k *keys.Key) bool { return selects(q, k) })
			s.equal(fmt.Sprintf("by %s: text %q, status %q", sort, q.Text, q.Status), s.pagesOfIDs(q), want)
		}
	}
}

func sortedMoving(s *suite) {
	for i := range 20 {
		s.created(fmt.Sprintf("%02d", 19-i))
	}
	page, next, err := s.List(s.Context(), keys.Query{Now: start, Sort: keys.SortName, Limit: 10})
	s.must(err)
	s.must(s.Delete(s.Context(), by(start), page[9].ID, keys.Guard{})) // the cursor's own
	s.created("00 before")
	s.created("09 between")
	s.updated(page[0].ID, start, func(k *keys.Key) { k.Name = "99" })
	rest := s.pages(keys.Query{Sort: keys.SortName, Limit: 4, Cursor: next})
	s.equal("the rest", rest, []string{"09 between", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "99"})
}

func sortedCursor(s *suite) {
	s.numbered(5)
	cursors := map[keys.Sort]string{}
	for _, sort := range append(keys.Sorts(), "") {
		_, next, err := s.List(s.Context(), keys.Query{Now: start, Sort: sort, Limit: 2})
		s.must(err)
		cursors[sort] = next
	}
	for made, cursor := range cursors {
		for _, sort := range append(keys.Sorts(), "") {
			_, _, err := s.List(s.Context(), keys.Query{Now: start, Sort: sort, Cursor: cursor})
			if isBadCursor(err) != (made != sort) {
				s.Errorf("a cursor of %q, for %q: error %v", made, sort, err)
			}
		}
		for _, broken := range []string{cursor[1:], cursor + "A", cursor + "\n", strings.ToLower(cursor) + "x"} {
			if _, _, err := s.List(s.Context(), keys.Query{Now: start, Sort: made, Cursor: broken}); !isBadCursor(err) {
				s.Errorf("cursor %q of %q: error %v", broken, made, err)
			}
		}
	}
}

func sortedUnknown(s *suite) {
	for _, sort := range []keys.Sort{"-", "--name", "id", "name ", "NAME"} {
		if _, _, err := s.List(s.Context(), keys.Query{Now: start, Sort: sort}); err == nil || isBadCursor(err) {
			s.Errorf("sort %q: error %v", sort, err)
		}
	}
}

func sortedHostile(s *suite) {
	names := []string{
		strings.Repeat("a", 100), strings.Repeat("a", 99), strings.Repeat("ﬃ", 100), strings.Repeat("𝒳", 100), "'; DROP TABLE keys; --",
		`"`, "%", "\u202e", strings.Repeat("👩‍👩‍👧‍👦", 14), "\\", "مرحبا",
	}
	var all []keys.New
	for _, name := range names {
		all = append(all, newKey(name, owner(strings.Repeat(name, 2))))
	}
	s.create(all...)
	for _, sort := range []keys.Sort{keys.SortName, "-" + keys.SortName, keys.SortOwner, "-" + keys.SortOwner} {
		whole := s.pagesOfIDs(keys.Query{Sort: sort, Limit: 50})
		if len(whole) != len(names) {
			s.Errorf("by %s: %d keys", sort, len(whole))
		}
		s.equal("in pages, by "+string(sort), s.pagesOfIDs(keys.Query{Sort: sort, Limit: 1}), whole)
	}
}
