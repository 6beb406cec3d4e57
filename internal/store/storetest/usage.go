package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var usageTests = map[string]func(*suite){
	"nothing is known of a key that was not used":             usageNone,
	"a key that is not there has no usage":                    usageNoSuchKey,
	"uses are counted by minute, hour and day at once":        usageSteps,
	"what was counted is added to what is there":              usageAdds,
	"a batch that comes again is not counted again":           usageBatchTwice,
	"a batch of which one part fails is not counted at all":   usageAllOrNothing,
	"times are moved outwards to where buckets begin":         usageOutwards,
	"uses of a deleted key are passed over":                   usageDeleted,
	"counting is no change of the key":                        usageNoChange,
	"endpoints beyond the bound of a day are counted as one":  usageBound,
	"hostile texts are counted as they are, or made harmless": usageHostile,
	"sums by api, owner and key":                              usageSums,
	"sums keep what deleted keys did, for who owned them":     usageSumsKeep,
	"sums are bounded, and say what nobody knows":             usageSumsBounds,
	"what is too old is removed, and nothing else":            usagePrune,
	"one of many removes":                                     usagePruneOnce,
	"many nodes count the same keys at once":                  usageMany,
	"what was counted outlives the process":                   usageLasts,
}

var batches atomic.Int64

// used adds a batch of its own.
func (s *suite) used(used ...keys.Used) {
	s.Helper()
	s.must(s.AddUsage(s.Context(), keys.UsageBatch{Writer: "test", Number: batches.Add(1), Used: used}))
}

func use(id keys.ID, target string, access permission.Access, outcome string, n int64, at time.Time) keys.Used {
	api, endpoint, _ := strings.Cut(target, "/")
	return keys.Used{Key: id, What: keys.What{API: api, Endpoint: endpoint, Access: access, Outcome: outcome}, N: n, LastAt: at}
}

func allowed(id keys.ID, n int64, at time.Time) keys.Used {
	return use(id, "rest/users", permission.Read, keys.OutcomeAllowed, n, at)
}

func (s *suite) usage(id keys.ID, step keys.Step, from, to time.Time) *keys.Usage {
	s.Helper()
	u, err := s.Usage(s.Context(), keys.UsageQuery{Key: id, Step: step, From: from, To: to})
	s.must(err)
	return u
}

// lines writes a usage down, to be compared.
func lines(u *keys.Usage) []string {
	var out []string
	for _, b := range u.Buckets {
		out = append(out, fmt.Sprintf("%s %d %d", b.At.Format("02T15:04:05"), b.Allowed, b.Refused))
	}
	var uses []string
	for _, u := range u.Uses {
		uses = append(uses, fmt.Sprintf("%s/%s %s %s %d %s", u.API, u.Endpoint, u.Access, u.Outcome, u.N, u.LastAt.Format("02T15:04:05.000")))
	}
	slices.Sort(uses)
	return append(out, uses...)
}

func usageNone(s *suite) {
	k := s.created("a")
	for _, step := range keys.Steps {
		s.equal("usage", s.usage(k.Key.ID, step, start.Add(-time.Hour), start), &keys.Usage{})
	}
	s.used()
	s.used(allowed(k.Key.ID, 0, start), allowed(k.Key.ID, -5, start))
	s.equal("usage of no times", s.usage(k.Key.ID, keys.Day, start.Add(-time.Hour), start), &keys.Usage{})
	for _, to := range []time.Time{start, start.Add(-time.Hour)} {
		s.equal("usage of no time", len(s.usage(k.Key.ID, keys.Minute, start.Add(time.Minute), to).Buckets), 0)
	}
}

func usageNoSuchKey(s *suite) {
	s.created("a")
	for _, id := range []keys.ID{"", "key_x", keys.NewID(), "\x00", "\xff", keys.ConfigID} {
		_, err := s.Usage(s.Context(), keys.UsageQuery{Key: id, Step: keys.Day, From: start, To: start.Add(time.Hour)})
		s.mustBe(err, keys.ErrNoSuchKey)
	}
}

// noon is where an hour, and nearly a day, begins.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func usageSteps(s *suite) {
	k, other := s.created("a"), s.created("b")
	s.used(
		allowed(k.Key.ID, 3, noon.Add(time.Second)),
		allowed(k.Key.ID, 2, noon.Add(61*time.Second)),
		use(k.Key.ID, "rest/users", permission.Write, "insufficient_access", 4, noon.Add(2*time.Second)),
		use(k.Key.ID, "graphql", permission.Read, keys.OutcomeAllowed, 1, noon.Add(3*time.Hour)),
		allowed(k.Key.ID, 7, noon.Add(12*time.Hour)), // midnight
		allowed(other.Key.ID, 100, noon),
	)
	uses := []string{
		"graphql/ read allowed 1 02T15:00:00.000",
		"rest/users read allowed 12 03T00:00:00.000",
		"rest/users write insufficient_access 4 02T12:00:02.000",
	}
	for step, want := range map[keys.Step][]string{
		keys.Minute: {"02T12:00:00 3 4", "02T12:01:00 2 0", "02T15:00:00 1 0", "03T00:00:00 7 0"},
		keys.Hour:   {"02T12:00:00 5 4", "02T15:00:00 1 0", "03T00:00:00 7 0"},
		keys.Day:    {"02T00:00:00 6 4", "03T00:00:00 7 0"},
	} {
		u := s.usage(k.Key.ID, step, noon.Add(-12*time.Hour), noon.Add(24*time.Hour))
		s.equal("usage by "+step.Duration().String(), lines(u), append(want, uses...))
		s.equal("since", u.Since, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	}
}

func usageAdds(s *suite) {
	k := s.created("a")
	for i := range 5 {
		s.used(allowed(k.Key.ID, 10, noon.Add(time.Duration(5-i)*time.Second)), allowed(k.Key.ID, 1, noon.Add(6*time.Second)))
	}
	s.equal("usage", lines(s.usage(k.Key.ID, keys.Minute, noon, noon.Add(time.Minute))),
		[]string{"02T12:00:00 55 0", "rest/users read allowed 55 02T12:00:06.000"})
}

func usageBatchTwice(s *suite) {
	k := s.created("a")
	batch := keys.UsageBatch{Writer: "one", Number: 7, Used: []keys.Used{allowed(k.Key.ID, 3, noon)}}
	late, others := batch, batch
	late.Number, others.Writer = 6, "two"
	for _, b := range []keys.UsageBatch{batch, batch, late, others, batch} {
		s.must(s.AddUsage(s.Context(), b))
	}
	batch.Number = 8
	s.must(s.handle(keys.Options{}).AddUsage(s.Context(), batch))
	s.equal("requests", s.usage(k.Key.ID, keys.Day, noon, noon.Add(time.Hour)).Buckets[0].Allowed, int64(9))
}

func usageAllOrNothing(s *suite) {
	k := s.created("a")
	batch := keys.UsageBatch{Writer: "one", Number: 1, Used: []keys.Used{allowed(k.Key.ID, 3, noon)}}
	ended, end := context.WithCancel(s.Context())
	end()
	if err := s.AddUsage(ended, batch); err == nil {
		s.Fatal("a batch of nobody was added")
	}
	s.equal("usage", s.usage(k.Key.ID, keys.Day, noon, noon.Add(time.Hour)), &keys.Usage{})
	s.must(s.AddUsage(s.Context(), batch)) // its number is free still
	s.equal("requests", s.usage(k.Key.ID, keys.Day, noon, noon.Add(time.Hour)).Buckets[0].Allowed, int64(3))
}

func usageOutwards(s *suite) {
	k := s.created("a")
	for i := -3; i <= 3; i++ {
		s.used(allowed(k.Key.ID, 1, noon.Add(time.Duration(i)*time.Hour)))
	}
	for _, c := range []struct {
		from, to time.Duration
		want     int
	}{{0, time.Hour, 1}, {0, time.Hour + time.Millisecond, 2}, {-time.Millisecond, time.Hour, 2}, {time.Minute, 2 * time.Minute, 1}, {-48 * time.Hour, 48 * time.Hour, 7}} {
		if got := len(s.usage(k.Key.ID, keys.Hour, noon.Add(c.from), noon.Add(c.to)).Buckets); got != c.want {
			s.Errorf("from %s to %s: %d buckets, want %d", c.from, c.to, got, c.want)
		}
	}
}

func usageDeleted(s *suite) {
	k, other := s.created("a"), s.created("b")
	s.used(allowed(k.Key.ID, 1, noon))
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	s.used(allowed(k.Key.ID, 5, noon), allowed("key_x", 5, noon), allowed("\x00", 5, noon), allowed(other.Key.ID, 2, noon))
	_, err := s.Usage(s.Context(), keys.UsageQuery{Key: k.Key.ID, Step: keys.Day, From: noon, To: noon.Add(time.Hour)})
	s.mustBe(err, keys.ErrNoSuchKey)
	s.equal("listed", s.list(keys.Query{}), []string{"b"})
	s.equal("other", s.usage(other.Key.ID, keys.Day, noon, noon.Add(time.Hour)).Buckets[0].Allowed, int64(2))
	// A new key has none of its predecessor's.
	s.equal("new", len(s.usage(s.created("c").Key.ID, keys.Day, noon, noon.Add(time.Hour)).Buckets), 0)
}

func usageNoChange(s *suite) {
	k := s.created("a")
	s.unchanged(func() {
		s.used(allowed(k.Key.ID, 1, noon))
		s.must(s.PruneUsage(s.Context(), keys.UsageKeep{keys.Day: time.Hour}, noon.Add(100*24*time.Hour), 0))
	})
}

func usageBound(s *suite) {
	k, calm := s.created("a"), s.created("b")
	const all, some = keys.MaxUsesADay + 500, 700
	for i := 0; i < all; i += some {
		batch := []keys.Used{use(calm.Key.ID, "rest/e1", permission.Read, keys.OutcomeAllowed, 1, noon)}
		for j := i; j < min(i+some, all); j++ {
			batch = append(batch, use(k.Key.ID, fmt.Sprintf("rest/e%d", j), permission.Read, keys.OutcomeAllowed, 1, noon))
		}
		s.used(batch...)
	}
	// What is known goes on to be counted apart; the next day is a new one.
	s.used(use(k.Key.ID, "rest/e0", permission.Read, keys.OutcomeAllowed, 1, noon.Add(time.Minute)),
		use(k.Key.ID, fmt.Sprintf("rest/e%d", all), permission.Read, keys.OutcomeAllowed, 1, noon.Add(24*time.Hour)))
	for _, step := range keys.Steps {
		u := s.usage(k.Key.ID, step, noon, noon.Add(10*time.Minute))
		var other, known int64
		for _, use := range u.Uses {
			switch use.Endpoint {
			case keys.OtherEndpoints:
				other = use.N
			case "e0":
				known = use.N
			}
		}
		if len(u.Uses) != keys.MaxUsesADay+1 || other != 500 || known != 2 {
			s.Fatalf("by %s: %d uses, %d of other endpoints, %d of the first", step.Duration(), len(u.Uses), other, known)
		}
	}
	s.equal("the next day", len(s.usage(k.Key.ID, keys.Day, noon.Add(24*time.Hour), noon.Add(25*time.Hour)).Uses), 1)
	s.equal("the other key", len(s.usage(calm.Key.ID, keys.Day, noon, noon.Add(time.Hour)).Uses), 1)
}

func usageHostile(s *suite) {
	k := s.created("a", owner("o'\u202e🙂"))
	hostile := []string{"'; DROP TABLE usage; --", "\u202eé🙂", `\"$1%s`, strings.Repeat("é", 128), "*", "TABLE", "NOW"}
	var batch []keys.Used
	for _, text := range hostile {
		batch = append(batch, use(k.Key.ID, "rest/"+text, permission.Read, keys.OutcomeAllowed, 1, noon))
	}
	unfit := []string{"a\x00b", "\xff\xfe", strings.Repeat("x", 100_000)}
	for _, text := range unfit {
		batch = append(batch, use(k.Key.ID, "rest/"+text, permission.Read, keys.OutcomeAllowed, 1, noon))
	}
	s.used(batch...)
	u := s.usage(k.Key.ID, keys.Hour, noon, noon.Add(time.Hour))
	var got []string
	for _, use := range u.Uses {
		if slices.Contains(hostile, use.Endpoint) {
			got = append(got, use.Endpoint)
		}
	}
	slices.Sort(got)
	slices.Sort(hostile)
	s.equal("endpoints", got, hostile)
	s.equal("requests", u.Buckets[0].Allowed, int64(len(hostile)+len(unfit)))
	s.equal("owners", s.sums(keys.UsageSumQuery{Group: keys.ByOwner}), []string{"o'\u202e🙂 10 0"})
}

// sums asks for the day of noon, and writes down what it gets.
func (s *suite) sums(q keys.UsageSumQuery) []string {
	s.Helper()
	if q.Step == 0 {
		q.Step = keys.Hour
	}
	if q.From.IsZero() {
		q.From, q.To = noon.Add(-12*time.Hour), noon.Add(12*time.Hour)
	}
	sums, err := s.SumUsage(s.Context(), q)
	s.must(err)
	var out []string
	for _, sum := range sums.Groups {
		out = append(out, fmt.Sprintf("%s %d %d", sum.Name, sum.Allowed, sum.Refused))
	}
	return out
}

func usageSums(s *suite) {
	a, b := s.created("a", owner("o")), s.created("b", owner("o"))
	c := s.created("c")
	s.used(
		allowed(a.Key.ID, 5, noon), use(a.Key.ID, "graphql", permission.Read, keys.OutcomeAllowed, 20, noon.Add(2*time.Hour)),
		allowed(b.Key.ID, 1, noon), use(b.Key.ID, "", permission.None, "disabled_key", 2, noon),
		use(c.Key.ID, "rest/users", permission.Write, "insufficient_access", 9, noon),
		allowed(c.Key.ID, 1000, noon.Add(-12*time.Hour-time.Millisecond)), // the day before
	)
	for _, step := range []keys.Step{keys.Hour, keys.Day} {
		s.equal("by api", s.sums(keys.UsageSumQuery{Group: keys.ByAPI, Step: step}), []string{"graphql 20 0", "rest 6 9", " 0 2"})
		s.equal("by owner", s.sums(keys.UsageSumQuery{Group: keys.ByOwner, Step: step}), []string{"o 26 2", " 0 9"})
		s.equal("by key", s.sums(keys.UsageSumQuery{Group: keys.ByKey, Step: step}), []string{"a 25 0", "c 0 9", "b 1 2"})
	}
	s.equal("of an hour", s.sums(keys.UsageSumQuery{Group: keys.ByKey, From: noon.Add(2 * time.Hour), To: noon.Add(3 * time.Hour)}), []string{"a 20 0"})
	sums, err := s.SumUsage(s.Context(), keys.UsageSumQuery{Group: keys.ByKey, Step: keys.Day, From: noon, To: noon.Add(time.Hour)})
	s.must(err)
	if diff := cmp.Diff(keys.UsageSum{Name: "a", Key: a.Key.ID, Allowed: 25, LastAt: noon.Add(2 * time.Hour)}, sums.Groups[0]); diff != "" {
		s.Fatalf("(-want +got):\n%s", diff)
	}
	s.equal("since", sums.Since, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
}

func usageSumsKeep(s *suite) {
	a, b := s.created("a", owner("o")), s.created("b", owner("p"))
	s.used(allowed(a.Key.ID, 5, noon), allowed(b.Key.ID, 1, noon))
	s.updated(b.Key.ID, start, func(k *keys.Key) { k.Owner = "o" })
	s.used(allowed(b.Key.ID, 2, noon))
	s.must(s.Delete(s.Context(), by(start), a.Key.ID, keys.Guard{}))
	s.equal("by owner", s.sums(keys.UsageSumQuery{Group: keys.ByOwner}), []string{"o 7 0", "p 1 0"})
	s.equal("by api", s.sums(keys.UsageSumQuery{Group: keys.ByAPI}), []string{"rest 8 0"})
	s.equal("by key", s.sums(keys.UsageSumQuery{Group: keys.ByKey}), []string{"b 3 0"})
}

func usageSumsBounds(s *suite) {
	s.equal("of nothing", s.sums(keys.UsageSumQuery{Group: keys.ByAPI}), []string{})
	k := s.created("a")
	var batch []keys.Used
	for i := range 250 {
		batch = append(batch, use(k.Key.ID, fmt.Sprintf("api-%d", i), permission.Read, keys.OutcomeAllowed, int64(i+1), noon))
	}
	s.used(batch...)
	for limit, want := range map[int]int{0: 50, 1: 1, 200: 200, 1000: 200} {
		got := s.sums(keys.UsageSumQuery{Group: keys.ByAPI, Limit: limit})
		if len(got) != want || got[0] != "api-249 250 0" {
			s.Errorf("limit %d: %d sums, the first %s", limit, len(got), got[0])
		}
	}
	for _, q := range []keys.UsageSumQuery{{Group: "name", Step: keys.Day}, {Group: keys.ByAPI, Step: keys.Minute}, {Step: keys.Hour}} {
		if _, err := s.SumUsage(s.Context(), q); err == nil {
			s.Errorf("%+v was added up", q)
		}
	}
}

func usagePrune(s *suite) {
	keep := keys.UsageKeep{keys.Minute: time.Hour, keys.Hour: 5 * time.Hour, keys.Day: 10 * 24 * time.Hour}
	var ks []keys.New
	for i := range 5 {
		ks = append(ks, newKey(fmt.Sprint(i), owner("o")))
	}
	s.create(ks...)
	for _, ago := range []time.Duration{0, 59 * time.Minute, 61 * time.Minute, 4 * time.Hour, 6 * time.Hour, 9 * 24 * time.Hour, 11 * 24 * time.Hour} {
		for _, k := range ks {
			s.used(allowed(k.Key.ID, 1, noon.Add(-ago)))
		}
	}
	s.must(s.PruneUsage(s.Context(), keep, noon, 0))
	for _, k := range ks {
		for step, want := range map[keys.Step]int{keys.Minute: 2, keys.Hour: 4, keys.Day: 2} {
			u := s.usage(k.Key.ID, step, noon.Add(-20*24*time.Hour), noon.Add(time.Hour))
			if len(u.Buckets) != want {
				s.Errorf("by %s: %v, want %d buckets", step.Duration(), u.Buckets, want)
			}
		}
	}
	s.equal("totals by day", s.sums(keys.UsageSumQuery{Group: keys.ByOwner, Step: keys.Day, From: noon.Add(-20 * 24 * time.Hour), To: noon}), []string{"o 30 0"})
	s.equal("totals by hour", s.sums(keys.UsageSumQuery{Group: keys.ByOwner, Step: keys.Hour, From: noon.Add(-20 * 24 * time.Hour), To: noon.Add(time.Hour)}), []string{"o 20 0"})
	// All that is left goes, bucket by bucket.
	s.must(s.PruneUsage(s.Context(), keep, noon.Add(100*24*time.Hour), 0))
	s.equal("usage", s.usage(ks[0].Key.ID, keys.Day, noon.Add(-20*24*time.Hour), noon.Add(time.Hour)), &keys.Usage{})
	s.equal("totals", s.sums(keys.UsageSumQuery{Group: keys.ByOwner, Step: keys.Day, From: noon.Add(-20 * 24 * time.Hour), To: noon}), []string{})
}

func usagePruneOnce(s *suite) {
	k := s.created("a")
	keep := keys.UsageKeep{keys.Day: 24 * time.Hour}
	s.must(s.PruneUsage(s.Context(), keep, noon, time.Hour))
	s.used(allowed(k.Key.ID, 1, noon.Add(-100*24*time.Hour)))
	var nodes sync.WaitGroup
	for range 4 {
		nodes.Go(func() {
			if err := s.PruneUsage(s.Context(), keep, noon, time.Hour); err != nil {
				s.Error(err)
			}
		})
	}
	nodes.Wait()
	all := func() int {
		return len(s.usage(k.Key.ID, keys.Day, noon.Add(-200*24*time.Hour), noon).Buckets)
	}
	s.equal("too early for anybody", all(), 1)
	for range 4 {
		nodes.Go(func() {
			if err := s.PruneUsage(s.Context(), keep, noon, 0); err != nil {
				s.Error(err)
			}
		})
	}
	nodes.Wait()
	s.equal("then", all(), 0)
}

func usageMany(s *suite) {
	var ks []keys.New
	for i := range 40 {
		ks = append(ks, newKey(fmt.Sprint(i), owner(fmt.Sprint(i%3))))
	}
	s.create(ks...)
	var nodes sync.WaitGroup
	const each = 4
	for i := range 4 {
		store := s.handle(keys.Options{})
		nodes.Go(func() {
			for n := range each {
				var batch []keys.Used
				for j := range ks { // each node in an order of its own
					k := ks[(j*7+i*11)%len(ks)]
					batch = append(batch, allowed(k.Key.ID, 1, noon), use(k.Key.ID, "graphql", permission.Write, "insufficient_access", 1, noon))
				}
				// As a gateway does: a batch that a busy store refused is sent
				// again, and never counts twice.
				var err error
				for range 3 {
					if err = store.AddUsage(s.Context(), keys.UsageBatch{Writer: fmt.Sprint(i), Number: int64(n + 1), Used: batch}); err == nil {
						break
					}
				}
				err = errors.Join(err, store.Touch(s.Context(), map[keys.ID]time.Time{ks[n].Key.ID: noon}))
				if err != nil {
					s.Error(err)
				}
			}
		})
	}
	for i := range 10 {
		s.updated(ks[i].Key.ID, start, func(k *keys.Key) { k.Name = "edited" })
		s.must(s.Delete(s.Context(), by(start), ks[30+i].Key.ID, keys.Guard{}))
	}
	nodes.Wait()
	for i := range 30 {
		u := s.usage(ks[i].Key.ID, keys.Hour, noon, noon.Add(time.Hour))
		want := []keys.UsageBucket{{At: noon, Allowed: 4 * each, Refused: 4 * each}}
		if diff := cmp.Diff(want, u.Buckets, cmpopts.EquateEmpty()); diff != "" {
			s.Fatalf("key %d (-want +got):\n%s", i, diff)
		}
	}
}

func usageLasts(s *suite) {
	k := s.created("a")
	s.used(allowed(k.Key.ID, 3, noon))
	s.reopen()
	s.used(allowed(k.Key.ID, 4, noon))
	s.equal("requests", s.usage(k.Key.ID, keys.Day, noon, noon.Add(time.Hour)).Buckets[0].Allowed, int64(7))
}
