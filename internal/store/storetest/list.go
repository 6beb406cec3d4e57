package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var listTests = map[string]func(*suite){
	"an empty store lists nothing":                    listEmpty,
	"pages hold each key once, newest first":          listPages,
	"keys of one moment are paged too":                listTies,
	"pages stay while keys come and go":               listMoving,
	"a limit out of range is put right":               listLimits,
	"an owner's keys":                                 listOwner,
	"keys by status, at any time":                     listStatus,
	"a status that does not exist is an error":        listNoSuchStatus,
	"keys by status after others have noted the time": listStatusLater,
	"keys with any access to an API":                  listAPI,
	"an edit changes the APIs that list a key":        listAPIEdited,
	"filters hold together":                           listTogether,
	"every combination of filters is what it says":    listEverything,
	"a cursor that is none is refused":                listBadCursor,
	"a cursor holds whatever is filtered":             listFilteredPages,
	"pages are whole while keys are created":          listWhileCreating,
}

func listEmpty(s *suite) {
	for _, q := range []keys.Query{{}, {Text: "a"}, {Text: "abc"}, {API: "a"}, {Status: keys.Active}, {Status: keys.Expired}} {
		s.equal("listed", s.list(q), []string{})
	}
}

// pages lists all pages of a query and fails if one has not the size.
func (s *suite) pages(q keys.Query) []string {
	s.Helper()
	var all []string
	if q.Now.IsZero() {
		q.Now = start
	}
	for {
		page, next, err := s.List(s.Context(), q)
		s.must(err)
		if next != "" && len(page) != q.Limit || len(page) == 0 && q.Cursor != "" {
			s.Fatalf("a page of %d keys, limit %d, next %q", len(page), q.Limit, next)
		}
		all = append(all, names(page)...)
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}

// numbered creates n keys named 0, 1, …, and returns their names, newest first.
func (s *suite) numbered(n int, edits ...func(*keys.Key)) []string {
	s.Helper()
	var all []string
	for i := range n {
		name := fmt.Sprint(i)
		s.created(name, append(slices.Clone(edits), func(k *keys.Key) { k.CreatedAt = start.Add(time.Duration(i) * time.Second) })...)
		all = append(all, name)
	}
	slices.Reverse(all)
	return all
}

func listPages(s *suite) {
	want := s.numbered(13)
	for _, limit := range []int{1, 2, 6, 12, 13, 14, 200} {
		s.equal(fmt.Sprintf("pages of %d", limit), s.pages(keys.Query{Limit: limit}), want)
	}
}

func listTies(s *suite) {
	var ks []keys.New
	var want []string
	for i := range 25 {
		ks = append(ks, newKey(fmt.Sprint(i)))
		want = append(want, fmt.Sprint(i))
	}
	slices.Reverse(want)
	s.create(ks...)
	s.equal("pages", s.pages(keys.Query{Limit: 4}), want)
}

func listMoving(s *suite) {
	var ks []keys.New
	for i := range 10 {
		ks = append(ks, newKey(fmt.Sprint(i)))
	}
	s.create(ks...)
	page, next, err := s.List(s.Context(), keys.Query{Now: start, Limit: 3})
	s.must(err)
	s.equal("first page", names(page), []string{"9", "8", "7"})
	s.created("new")
	s.must(s.Delete(s.Context(), by(start), ks[7].Key.ID, keys.Guard{})) // the page's last
	s.must(s.Delete(s.Context(), by(start), ks[6].Key.ID, keys.Guard{})) // the next page's first
	s.updated(ks[1].Key.ID, start.Add(time.Hour), func(k *keys.Key) { k.Name = "one" })
	s.equal("other pages", s.pages(keys.Query{Limit: 3, Cursor: next}), []string{"5", "4", "3", "2", "one", "0"})
}

func listLimits(s *suite) {
	var ks []keys.New
	for range 250 {
		ks = append(ks, newKey("a"))
	}
	s.create(ks...)
	for limit, want := range map[int]int{-1: 50, 0: 50, 200: 200, 201: 200, 1 << 30: 200} {
		page, next, err := s.List(s.Context(), keys.Query{Now: start, Limit: limit})
		s.must(err)
		if len(page) != want || next == "" {
			s.Errorf("limit %d: %d keys, want %d", limit, len(page), want)
		}
	}
}

func listOwner(s *suite) {
	s.created("a", owner("team-7"))
	s.created("b", owner("team-77"))
	s.created("c")
	s.created("d", owner("team-7"))
	for name, want := range map[string][]string{"team-7": {"d", "a"}, "team-77": {"b"}, "": {"c"}, "TEAM-7": {}, "team-%": {}, "x' OR '1'='1": {}, "\x00": {}} {
		s.equal("keys of "+name, s.list(keys.Query{Owner: &name}), want)
	}
}

func listStatus(s *suite) {
	soon := start.Add(time.Hour)
	s.created("forever")
	s.created("an hour", expires(soon))
	s.created("off", disabled)
	s.created("old", expires(start.Add(-time.Hour)))
	s.created("off and old", disabled, expires(start.Add(-time.Hour)))
	s.created("now", expires(start))
	for _, c := range []struct {
		status keys.Status
		at     time.Time
		want   []string
	}{
		{keys.Active, start, []string{"an hour", "forever"}},
		{keys.Expired, start, []string{"now", "old"}},
		{keys.Disabled, start, []string{"off and old", "off"}},
		{keys.Active, soon.Add(-time.Millisecond), []string{"an hour", "forever"}},
		{keys.Active, soon, []string{"forever"}},
		{keys.Expired, soon, []string{"now", "old", "an hour"}},
		{keys.Active, start.Add(-2 * time.Hour), []string{"now", "old", "an hour", "forever"}},
	} {
		s.equal(fmt.Sprint(c.status, c.at), s.list(keys.Query{Status: c.status, Now: c.at}), c.want)
	}
}

func listNoSuchStatus(s *suite) {
	for _, status := range []keys.Status{keys.Unknown, "ACTIVE", "x"} {
		if _, _, err := s.List(s.Context(), keys.Query{Now: start, Status: status}); err == nil {
			s.Errorf("status %q was listed", status)
		}
	}
}

// A store may note in passing that a key has expired. It must not believe
// the note: another node's clock is behind, or the key was prolonged.
func listStatusLater(s *suite) {
	s.created("an hour", expires(start.Add(time.Hour)))
	off := s.created("off", disabled, expires(start.Add(time.Hour)))
	two := s.created("two hours", expires(start.Add(2*time.Hour)))
	later := start.Add(90 * time.Minute)
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{two.Key.ID: later}))
	s.updated(off.Key.ID, later, func(k *keys.Key) { k.Enabled = true })
	s.must(s.PutEndpoint(s.Context(), by(later), keys.Endpoint{API: "a", ID: "e"}))
	for at, want := range map[time.Time][2][]string{
		start:                {{"two hours", "off", "an hour"}, {}},
		later:                {{"two hours"}, {"off", "an hour"}},
		later.Add(time.Hour): {{}, {"two hours", "off", "an hour"}},
	} {
		s.equal("active at "+at.String(), s.list(keys.Query{Status: keys.Active, Now: at}), want[0])
		s.equal("expired at "+at.String(), s.list(keys.Query{Status: keys.Expired, Now: at}), want[1])
		counts, err := s.Counts(s.Context(), at)
		s.must(err)
		s.equal("counts at "+at.String(), counts, keys.Counts{Active: int64(len(want[0])), Expired: int64(len(want[1]))})
	}
}

func listAPI(s *suite) {
	s.created("all")
	s.created("reads", func(k *keys.Key) { k.Permissions = permission.Set{Mode: permission.ReadOnly} })
	s.created("nothing", restricted(s))
	s.created("none", restricted(s, permission.Grant{API: "a", Access: permission.None}))
	s.created("a", restricted(s, permission.Grant{API: "a", Access: permission.Read}))
	s.created("a and b", restricted(s, permission.Grant{API: "a", Access: permission.Write}, permission.Grant{API: "b", Access: permission.Read}))
	s.created("part of a", restricted(s, permission.Grant{API: "a", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "x", Access: permission.None}, {Endpoint: "y", Access: permission.Read}}}))
	s.created("no part of a", restricted(s, permission.Grant{API: "a", ByEndpoint: true, Access: permission.Write, Endpoints: []permission.EndpointGrant{{Endpoint: "x", Access: permission.None}}}))
	for api, want := range map[string][]string{
		"a":          {"part of a", "a and b", "a", "reads", "all"},
		"b":          {"a and b", "reads", "all"},
		"undeclared": {"reads", "all"},
		"%":          {"reads", "all"},
		"\x00":       {"reads", "all"},
	} {
		s.equal("keys for "+api, s.list(keys.Query{API: api}), want)
		s.equal("pages for "+api, s.pages(keys.Query{API: api, Limit: 2}), want)
	}
}

func listAPIEdited(s *suite) {
	k := s.created("k", restricted(s, permission.Grant{API: "a", Access: permission.Read}))
	for _, c := range []struct {
		edit func(*keys.Key)
		a, b []string
	}{
		{restricted(s, permission.Grant{API: "b", Access: permission.Read}), nil, []string{"k"}},
		{func(k *keys.Key) { k.Permissions = permission.Set{Mode: permission.All} }, []string{"k"}, []string{"k"}},
		{restricted(s, permission.Grant{API: "a", Access: permission.Read}, permission.Grant{API: "b", Access: permission.Read}), []string{"k"}, []string{"k"}},
		{restricted(s, permission.Grant{API: "a", Access: permission.Write}), []string{"k"}, nil},
		{restricted(s), nil, nil},
	} {
		s.updated(k.Key.ID, start, c.edit)
		s.equal("keys for a", s.list(keys.Query{API: "a"}), c.a)
		s.equal("keys for b", s.list(keys.Query{API: "b"}), c.b)
	}
}

func listTogether(s *suite) {
	a := restricted(s, permission.Grant{API: "a", Access: permission.Read})
	s.created("wanted", owner("o"), a)
	s.created("wanted too", owner("o"))
	s.created("wanted, other owner", owner("p"), a)
	s.created("wanted, disabled", owner("o"), a, disabled)
	s.created("something else", owner("o"), a)
	s.created("wanted, other api", owner("o"), restricted(s, permission.Grant{API: "b", Access: permission.Read}))
	name := "o"
	s.equal("listed", s.list(keys.Query{Owner: &name, Text: "WANTED", API: "a", Status: keys.Active}), []string{"wanted too", "wanted"})
}

// listEverything compares all combinations of filters with what the filters
// mean, over keys that differ in everything.
func listEverything(s *suite) {
	var all []keys.New
	for i := range 96 {
		k := newKey(fmt.Sprintf("%s-%d", []string{"alpha", "Beta", "ζ"}[i%3], i), owner([]string{"", "o"}[i/3%2]))
		k.Key.Enabled = i/6%2 == 0
		k.Key.ExpiresAt = []time.Time{{}, start.Add(time.Hour)}[i/12%2]
		[]func(*keys.Key){
			func(*keys.Key) {}, restricted(s), restricted(s, permission.Grant{API: "a", Access: permission.Read}),
			restricted(s, permission.Grant{API: "b", Access: permission.Write}),
		}[i/24](&k.Key)
		all = append(all, k)
	}
	s.create(all...)
	owned := "o"
	for _, q := range combinations(&owned) {
		var want []string
		for _, k := range slices.Backward(all) {
			if selects(q, &k.Key) {
				want = append(want, k.Key.Name)
			}
		}
		what := fmt.Sprintf("owner %t, text %q, api %q, status %q, %s", q.Owner != nil, q.Text, q.API, q.Status, q.Now.Sub(start))
		q.Limit = 5
		s.equal(what, s.pages(q), want)
	}
}

func combinations(owned *string) []keys.Query {
	var all []keys.Query
	for _, text := range []string{"", "beta-", "ζ", "a-1"} {
		for _, api := range []string{"", "a"} {
			for _, status := range []keys.Status{"", keys.Active, keys.Expired, keys.Disabled} {
				for _, now := range []time.Time{start, start.Add(time.Hour)} {
					q := keys.Query{Text: text, API: api, Status: status, Now: now}
					all = append(all, q)
					q.Owner = owned
					all = append(all, q)
				}
			}
		}
	}
	return all
}

func selects(q keys.Query, k *keys.Key) bool {
	text := strings.ToLower(k.Name + "\x00" + k.Prefix + "\x00" + string(k.ID) + "\x00" + k.Owner)
	return (q.Owner == nil || *q.Owner == k.Owner) && strings.Contains(text, q.Text) &&
		(q.API == "" || k.Permissions.Any(q.API)) && (q.Status == "" || k.Status(q.Now) == q.Status)
}

func listBadCursor(s *suite) {
	s.numbered(5)
	_, good, err := s.List(s.Context(), keys.Query{Now: start, Limit: 2})
	s.must(err)
	_, audit, err := s.Audit(s.Context(), keys.AuditQuery{Limit: 2})
	s.must(err)
	bad := []string{"x", "0", good + "A", good[1:], good[:len(good)-1], good + "=", " " + good, good + "\n", good + good, "' OR 1=1", "\x00", "é", strings.Repeat("A", 100_000), strings.ToUpper(good), audit}
	for i := range len(good) {
		flipped := []byte(good)
		flipped[i] ^= 1
		bad = append(bad, string(flipped))
	}
	for _, cursor := range bad {
		if _, _, err := s.List(s.Context(), keys.Query{Now: start, Cursor: cursor}); err == nil || !isBadCursor(err) {
			s.Errorf("keys, cursor %.40q: error %v", cursor, err)
		}
	}
	if _, _, err := s.Audit(s.Context(), keys.AuditQuery{Cursor: good}); !isBadCursor(err) {
		s.Errorf("audit, cursor of the keys: error %v", err)
	}
}

func listFilteredPages(s *suite) {
	want := s.numbered(9, owner("o"))
	s.numbered(3, owner("p"))
	name := "o"
	for _, q := range []keys.Query{{Owner: &name}, {Owner: &name, Status: keys.Active}, {Owner: &name, Text: "kw_"}, {Owner: &name, API: "a"}} {
		for _, limit := range []int{1, 4, 9, 10} {
			q.Limit = limit
			s.equal("pages", s.pages(q), want)
		}
	}
}

// While others create keys, who turns pages sees every key that was there
// when they began, once and in order.
func listWhileCreating(s *suite) {
	want := s.numbered(60)
	done := make(chan struct{})
	var wg sync.WaitGroup
	node := s.handle(keys.Options{})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := node.Create(s.Context(), by(start), "create", []keys.New{newKey("new")}); err != nil {
				s.Error(err)
				return
			}
		}
	})
	for range 10 {
		old := slices.DeleteFunc(s.pages(keys.Query{Limit: 7}), func(name string) bool { return name == "new" })
		s.equal("pages", old, want)
	}
	close(done)
	wg.Wait()
}
