package storetest

import (
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var endpointTests = map[string]func(*suite){
	"endpoints are listed by API and id":             endpointsSorted,
	"a title changes, what is the same is no change": endpointsPut,
	"an endpoint that is not there is not forgotten": endpointsDelete,
	"ids and titles are only text":                   endpointsHostile,
}

func endpointsSorted(s *suite) {
	want := []keys.Endpoint{{API: "a", ID: "B", Title: "1"}, {API: "a", ID: "b", Title: "2"}, {API: "a-b", ID: "a", Title: "3"}, {API: "b", ID: "a", Title: ""}}
	for _, i := range []int{2, 0, 3, 1} {
		s.must(s.PutEndpoint(s.Context(), by(start), want[i]))
	}
	got, err := s.Endpoints(s.Context())
	s.must(err)
	s.equal("endpoints", got, want)
}

func endpointsPut(s *suite) {
	e := keys.Endpoint{API: "a", ID: "e", Title: "one"}
	s.must(s.PutEndpoint(s.Context(), by(start), e))
	s.unchanged(func() { s.must(s.PutEndpoint(s.Context(), by(start), e)) })
	e.Title = "two"
	s.must(s.PutEndpoint(s.Context(), by(start), e))
	got, err := s.Endpoints(s.Context())
	s.must(err)
	s.equal("endpoints", got, []keys.Endpoint{e})
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{})
	s.must(err)
	s.equal("audited title", []any{fieldOf(s, entries[0].Before, "title"), fieldOf(s, entries[0].After, "title")}, []any{"one", "two"})
	s.equal("audited name", []any{fieldOf(s, entries[0].After, "api"), fieldOf(s, entries[0].After, "id")}, []any{"a", "e"})
}

func endpointsDelete(s *suite) {
	s.must(s.PutEndpoint(s.Context(), by(start), keys.Endpoint{API: "a", ID: "e"}))
	s.unchanged(func() {
		s.mustBe(s.DeleteEndpoint(s.Context(), by(start), "a", "E"), keys.ErrNoSuchKey)
		s.mustBe(s.DeleteEndpoint(s.Context(), by(start), "e", "a"), keys.ErrNoSuchKey)
	})
	s.must(s.DeleteEndpoint(s.Context(), by(start), "a", "e"))
	got, err := s.Endpoints(s.Context())
	s.must(err)
	s.equal("endpoints", got, []keys.Endpoint{})
}

func endpointsHostile(s *suite) {
	e := keys.Endpoint{API: "a", ID: `%_'"; DROP TABLE endpoints --🙂`, Title: strings.Repeat("é\\\"", 100_000)}
	s.must(s.PutEndpoint(s.Context(), by(start), e))
	got, err := s.Endpoints(s.Context())
	s.must(err)
	s.equal("endpoints", got, []keys.Endpoint{e})
	s.must(s.DeleteEndpoint(s.Context(), by(start), e.API, e.ID))
}

var touchTests = map[string]func(*suite){
	"the latest use is kept":            touchLatest,
	"a use is no change of the key":     touchNoChange,
	"many uses are recorded at once":    touchMany,
	"ids that are gone are passed over": touchGone,
}

func touchLatest(s *suite) {
	k := s.created("a")
	s.equal("last use", s.get(k.Key.ID).LastUsedAt, time.Time{})
	for _, c := range []struct{ use, want time.Duration }{{time.Minute, time.Minute}, {0, time.Minute}, {time.Minute + time.Millisecond, time.Minute + time.Millisecond}} {
		s.must(s.Touch(s.Context(), map[keys.ID]time.Time{k.Key.ID: start.Add(c.use)}))
		s.equal("last use", s.get(k.Key.ID).LastUsedAt, start.Add(c.want))
	}
	s.updated(k.Key.ID, start, func(k *keys.Key) { k.Name = "b" })
	s.equal("last use", s.get(k.Key.ID).LastUsedAt, start.Add(time.Minute+time.Millisecond))
}

func touchNoChange(s *suite) {
	k := s.created("a")
	before := s.state()
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{k.Key.ID: start.Add(time.Hour)}))
	before.Keys[0].LastUsedAt = start.Add(time.Hour)
	s.equal("state", s.state(), before)
	s.equal("told", len(s.told.all()), 1)
}

func touchMany(s *suite) {
	used := map[keys.ID]time.Time{}
	var ks []keys.New
	for i := range 2500 {
		k := newKey("a")
		ks = append(ks, k)
		used[k.Key.ID] = start.Add(time.Duration(i) * time.Millisecond)
	}
	s.create(ks...)
	s.must(s.Touch(s.Context(), used))
	for _, i := range []int{0, 1, 999, 1000, 2499} {
		id := ks[i].Key.ID
		s.equal("last use", s.get(id).LastUsedAt, used[id])
	}
	s.must(s.Touch(s.Context(), nil))
}

func touchGone(s *suite) {
	k := s.created("a")
	s.must(s.Touch(s.Context(), map[keys.ID]time.Time{"": start, keys.NewID(): start, keys.ConfigID: start, k.Key.ID: start}))
	s.equal("last use", s.get(k.Key.ID).LastUsedAt, start)
	s.equal("listed", s.list(keys.Query{}), []string{"a"})
}

var countTests = map[string]func(*suite){
	"nothing is counted in an empty store": func(s *suite) {
		counts, err := s.Counts(s.Context(), start)
		s.must(err)
		s.equal("counts", counts, keys.Counts{})
	},
	"keys are counted by status, at any time": countStatus,
}

func countStatus(s *suite) {
	soon := start.Add(time.Hour)
	s.created("a")
	s.created("b", expires(soon), func(k *keys.Key) { k.Admin = permission.Read })
	s.created("c", expires(start))
	s.created("d", disabled)
	s.created("e", disabled, expires(start))
	for at, want := range map[time.Time]keys.Counts{
		start.Add(-time.Second): {Active: 3, Disabled: 2}, start: {Active: 2, Expired: 1, Disabled: 2}, soon: {Active: 1, Expired: 2, Disabled: 2},
	} {
		counts, err := s.Counts(s.Context(), at)
		s.must(err)
		s.equal("counts at "+at.String(), counts, want)
	}
}
