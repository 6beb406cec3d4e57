package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var unusedTests = map[string]func(*suite){
	"keys unused since a day, longest unused first": unusedDays,
	"a use takes a key from the list":               unusedTouched,
	"pages hold each unused key once, in order":     unusedPages,
	"unused keys with every other filter":           unusedFiltered,
	"a cursor of another list is refused":           unusedCursor,
}

// day returns a moment so many days after that of the tests.
func day(n int) time.Time { return start.AddDate(0, 0, n) }

func createdAt(at time.Time) func(*keys.Key) { return func(k *keys.Key) { k.CreatedAt = at } }

func unusedDays(s *suite) {
	s.created("never, old", createdAt(day(-50)))
	s.created("never, new", createdAt(day(-1)))
	used := s.created("used", createdAt(day(-60)))
	lately := s.created("used lately", createdAt(day(-60)))
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{used.Key.ID: day(-20), lately.Key.ID: day(0)}))
	for since, want := range map[time.Time][]string{
		day(-60): {}, day(-50): {}, day(-49): {"never, old"}, day(-20): {"never, old"},
		day(-19): {"never, old", "used"}, day(0): {"never, old", "used", "never, new"},
		day(1): {"never, old", "used", "never, new", "used lately"},
		// The day counts, not the hour.
		day(0).Truncate(24 * time.Hour):                       {"never, old", "used", "never, new"},
		day(1).Truncate(24 * time.Hour).Add(-time.Nanosecond): {"never, old", "used", "never, new"},
		day(1).In(time.FixedZone("east", 10*3600)):            {"never, old", "used", "never, new", "used lately"},
	} {
		s.equal("unused since "+since.String(), s.list(keys.Query{UnusedSince: since}), want)
	}
}

func unusedTouched(s *suite) {
	k := s.created("a", createdAt(day(-50)))
	s.created("b", createdAt(day(-10)))
	q := keys.Query{UnusedSince: day(0)}
	s.equal("before", s.list(q), []string{"a", "b"})
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{k.Key.ID: day(-5)}))
	s.equal("used since", s.list(q), []string{"b", "a"})
	s.updated(k.Key.ID, day(1), func(k *keys.Key) { k.Name = "edited" }) // which is no use
	s.equal("edited", s.list(q), []string{"b", "edited"})
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{k.Key.ID: day(0)}))
	s.equal("used today", s.list(q), []string{"b"})
}

func unusedPages(s *suite) {
	var ks []keys.New
	var want []string
	for i := range 30 {
		ks = append(ks, newKey(fmt.Sprintf("%02d", i), createdAt(day(-100+i%7))))
	}
	s.create(ks...)
	for d := range 7 {
		for i := d; i < 30; i += 7 {
			want = append(want, fmt.Sprintf("%02d", i))
		}
	}
	for _, limit := range []int{1, 2, 7, 29, 30, 31} {
		s.equal(fmt.Sprintf("pages of %d", limit), s.pages(keys.Query{UnusedSince: day(0), Limit: limit}), want)
	}
	// Keys that come and go between pages move no other.
	page, next, err := s.List(s.Context(), keys.Query{Now: start, UnusedSince: day(0), Limit: 10})
	s.must(err)
	s.must(s.Delete(s.Context(), by(start), page[9].ID, keys.Guard{}))
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{page[0].ID: day(-1)}))
	s.created("new", createdAt(day(-200)))
	s.equal("the rest", s.pages(keys.Query{UnusedSince: day(0), Limit: 7, Cursor: next}), append(slices.Clone(want[10:]), want[0]))
}

func unusedFiltered(s *suite) {
	var all []keys.New
	for i := range 96 {
		k := newKey(fmt.Sprintf("%s-%d", []string{"alpha", "Beta", "ζ"}[i%3], i), owner([]string{"", "o"}[i/3%2]), createdAt(day(-10+i%11)))
		k.Key.Enabled = i/6%2 == 0
		k.Key.ExpiresAt = []time.Time{{}, start.Add(time.Hour)}[i/12%2]
		[]func(*keys.Key){
			func(*keys.Key) {}, restricted(s), restricted(s, permission.Grant{API: "a", Access: permission.Read}),
			restricted(s, permission.Grant{API: "b", Access: permission.Write}),
		}[i/24](&k.Key)
		all = append(all, k)
	}
	s.create(all...)
	slices.SortStableFunc(all, func(a, b keys.New) int {
		return keys.Day.Floor(a.Key.CreatedAt).Compare(keys.Day.Floor(b.Key.CreatedAt))
	})
	owned := "o"
	for _, q := range combinations(&owned) {
		q.UnusedSince, q.Limit = day(-3), 5
		var want []string
		for _, k := range all {
			if selects(q, &k.Key) && k.Key.CreatedAt.Before(keys.Day.Floor(q.UnusedSince)) {
				want = append(want, k.Key.Name)
			}
		}
		s.equal(fmt.Sprintf("owner %t, text %q, api %q, status %q", q.Owner != nil, q.Text, q.API, q.Status), s.pages(q), want)
	}
}

func unusedCursor(s *suite) {
	s.numbered(5, createdAt(day(-9)))
	_, plain, err := s.List(s.Context(), keys.Query{Now: start, Limit: 2})
	s.must(err)
	_, unused, err := s.List(s.Context(), keys.Query{Now: start, Limit: 2, UnusedSince: day(1)})
	s.must(err)
	for cursor, q := range map[string]keys.Query{plain: {UnusedSince: day(1)}, unused: {}, "x": {UnusedSince: day(1)}, unused + "A": {UnusedSince: day(1)}} {
		q.Now, q.Cursor = start, cursor
		if _, _, err := s.List(s.Context(), q); !isBadCursor(err) {
			s.Errorf("cursor %q: error %v", cursor, err)
		}
	}
}
