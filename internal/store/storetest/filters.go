package storetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var filterTests = map[string]func(*suite){
	"a list says what looking at every key says":                 filtersAgree,
	"keys of a large import are found after they have changed":   filtersAfterEdits,
	"many keys that came one by one are found":                   filtersManySmall,
	"a page that looks in vain ends early, and the next goes on": filtersInVain,
}

// imported stores count keys by one call. Owners, APIs, expiries and names are
// such that every filter is met by many keys and by few.
func (s *suite) imported(count int) []keys.New {
	s.Helper()
	ks := make([]keys.New, count)
	for i := range ks {
		edits := []func(*keys.Key){owner([]string{"Big", "big", "small", ""}[min(i%7, 3)])}
		if i%5 == 0 {
			edits = append(edits, expires(start.Add(time.Duration(i%11-5)*time.Hour)))
		}
		if i%13 == 0 {
			edits = append(edits, disabled)
		}
		if i%3 != 0 {
			edits = append(edits, restricted(s, permission.Grant{API: []string{"a", "b"}[i%2], Access: permission.Read}))
		}
		ks[i] = newKey(fmt.Sprintf("Service-%04d ä%d", i, i%3), edits...)
	}
	s.create(ks...)
	return ks
}

// text returns what a key is found by, as these tests look for it.
func textOf(k *keys.Key) string {
	return strings.ToLower(strings.Join([]string{k.Name, k.Prefix, string(k.ID), k.Owner}, "\n"))
}

// matches says of one key what a list asks.
func matches(k *keys.Key, q keys.Query) bool {
	return (q.Owner == nil || k.Owner == *q.Owner) && (q.Status == "" || k.Status(q.Now) == q.Status) &&
		(q.API == "" || k.Permissions.Any(q.API)) && strings.Contains(textOf(k), strings.ToLower(q.Text))
}

func (s *suite) every() (all []*keys.Key) {
	s.Helper()
	for q := (keys.Query{Now: start, Limit: 200}); ; {
		page, next, err := s.List(s.Context(), q)
		s.must(err)
		all = append(all, page...)
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}

// agree compares lists of many kinds with what every key says of itself.
func (s *suite) agree(random *rand.Rand, lists int) {
	s.Helper()
	all := s.every()
	for range lists {
		q := someQuery(random, all)
		var want []string
		for _, k := range all {
			if matches(k, q) {
				want = append(want, k.Name)
			}
		}
		s.equal(fmt.Sprintf("list %+v", q), s.pages(q), want)
	}
}

func someQuery(random *rand.Rand, all []*keys.Key) keys.Query {
	q := keys.Query{Now: start.Add(time.Duration(random.IntN(3)-1) * 2 * time.Hour), Limit: 1 + random.IntN(200)}
	if random.IntN(2) == 0 {
		name := []string{"Big", "big", "small", "", "nobody"}[random.IntN(5)]
		q.Owner = &name
	}
	if random.IntN(2) == 0 {
		q.API = []string{"a", "b", "c"}[random.IntN(3)]
	}
	if random.IntN(2) == 0 {
		q.Status = []keys.Status{keys.Active, keys.Expired, keys.Disabled}[random.IntN(3)]
	}
	switch random.IntN(4) {
	case 0: // a part of what a key is found by
		field := strings.Split(textOf(all[random.IntN(len(all))]), "\n")[random.IntN(3)]
		runes := []rune(field)
		from := random.IntN(len(runes))
		q.Text = string(runes[from : from+1+random.IntN(min(len(runes)-from, 1+random.IntN(20)))])
	case 1:
		q.Text = []string{"service", "ä", "Ä2", "zq", "-x", "0000000", "ecivres", "key_", "_", "9", "team", "BIG"}[random.IntN(12)]
	}
	return q
}

func (s *suite) random() *rand.Rand {
	seed := uint64(time.Now().UnixNano()) // any number will do
	s.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0)) // no secret
}

func filtersAgree(s *suite) {
	s.imported(2100)
	s.numbered(30, owner("small"))
	s.agree(s.random(), 60)
}

func filtersAfterEdits(s *suite) {
	random := s.random()
	ks := s.imported(2100)
	for i := range 40 {
		id := ks[i*50].Key.ID
		switch i % 4 {
		case 0:
			s.updated(id, start, func(k *keys.Key) { k.Name, k.Owner = fmt.Sprintf("renamed %d", i), "small" })
		case 1:
			s.updated(id, start, func(k *keys.Key) { k.Permissions = permission.Set{Mode: permission.All} })
		case 2:
			s.rotated(id, start, start)
		case 3:
			s.must(s.Delete(s.Context(), by(start), id, keys.Guard{}))
		}
	}
	s.equal("found by the new name", s.list(keys.Query{Text: "renamed 36"}), []string{"renamed 36"})
	s.agree(random, 40)
	s.reopen()
	s.agree(random, 10)
}

// Their number is such that they become a part of the index, more than once.
func filtersManySmall(s *suite) {
	for range 22 {
		s.imported(200)
	}
	s.agree(s.random(), 30)
}

// Every other key is one owner's, and those between them have expired.
func filtersInVain(s *suite) {
	ks := make([]keys.New, 14_000)
	for i := range ks {
		edit := owner("p")
		if i%2 == 0 {
			edit = expires(start.Add(time.Hour))
		}
		ks[i] = newKey("x", edit)
	}
	ks[0].Key.Owner, ks[0].Key.Name = "p", "last"
	s.create(ks[:8000]...) // one call takes 10 000 at most
	s.create(ks[8000:]...)
	name := "p"
	q := keys.Query{Owner: &name, Status: keys.Expired, Now: start.Add(2 * time.Hour)}
	var found []string
	pages := 0
	for next := "first"; next != ""; pages++ {
		var page []*keys.Key
		var err error
		page, next, err = s.List(s.Context(), q)
		s.must(err)
		if next == q.Cursor && next != "" {
			s.Fatal("the next page is this one")
		}
		found, q.Cursor = append(found, names(page)...), next
	}
	s.equal("found", found, []string{"last"})
	if pages < 2 {
		s.Fatal("one page looked at more keys than it has time for")
	}
}
