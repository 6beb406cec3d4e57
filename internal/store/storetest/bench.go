package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Run makes the million, if that was not done before, and runs the benchmarks
// that all stores have.
func (m *Million) Run(b *testing.B, o Bench) {
	b.Helper()
	m.Make(b, o)
	for _, bench := range []struct {
		name string
		run  func(*testing.B, Bench)
	}{
		{"Import", m.benchImport},
		{"Find", m.benchFind},
		{"FindUnknown", m.benchFindUnknown},
		{"FindMany", m.benchFindMany},
		{"OpenAndFindTheFirst", m.benchOpen},
		{"List", m.benchList},
		{"ListDeep", m.benchListDeep},
		{"Count", m.benchCount},
		{"Digests", m.benchDigests},
		{"TouchAThousand", m.benchTouch},
		{"Create", benchCreate},
		{"Update", benchUpdate},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			bench.run(b, o)
		})
	}
}

// Make makes the million, if that was not done before.
func (m *Million) Make(b *testing.B, o Bench) {
	b.Helper()
	if m.Size == 0 {
		s := o.Open(b, keys.Options{})
		if err := errors.Join(m.fill(b.Context(), s, o.Import), s.Close(), o.Settle(b.Context())); err != nil {
			b.Fatal(err)
		}
	}
}

// What an import takes is measured while the million is made.
func (m *Million) benchImport(b *testing.B, _ Bench) {
	for b.Loop() { // it was done before
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(m.store.Seconds(), "s")
	b.ReportMetric(float64(m.store.Nanoseconds())/float64(m.Size), "ns/key")
	b.ReportMetric(float64(m.floor.Nanoseconds())/float64(m.Size), "floor-ns/key")
	b.ReportMetric(m.store.Seconds()/m.floor.Seconds(), "store/floor")
}

func (m *Million) benchFind(b *testing.B, o Bench) {
	s := o.Open(b, keys.Options{})
	for i := 0; b.Loop(); i++ {
		if _, err := s.Find(b.Context(), m.Digests[i%len(m.Digests)]); err != nil {
			b.Fatal(err)
		}
	}
}

func (m *Million) benchFindUnknown(b *testing.B, o Bench) {
	s := o.Open(b, keys.Options{})
	for b.Loop() {
		if _, err := s.Find(b.Context(), newDigest()); !errors.Is(err, keys.ErrNoSuchKey) {
			b.Fatal(err)
		}
	}
}

// benchFindMany looks up a hundred secrets by one query, beside one.
func (m *Million) benchFindMany(b *testing.B, o Bench) {
	s := o.Open(b, keys.Options{})
	const many = 100
	ds := make([]keys.Digest, many)
	var one, all time.Duration
	for i := 0; b.Loop(); i++ {
		for j := range ds {
			ds[j] = m.Digests[(i*many+j)*7919%len(m.Digests)]
		}
		began := time.Now()
		found, err := s.FindMany(b.Context(), ds)
		all += time.Since(began)
		if err != nil || len(found) != many {
			b.Fatal(len(found), err)
		}
		began = time.Now()
		if _, err := s.Find(b.Context(), ds[0]); err != nil {
			b.Fatal(err)
		}
		one += time.Since(began)
	}
	b.ReportMetric(all.Seconds()/one.Seconds()/many, "of-one-each")
	b.ReportMetric(float64(all.Nanoseconds())/float64(b.N)/many, "ns/key")
}

func (m *Million) benchOpen(b *testing.B, o Bench) {
	for i := 0; b.Loop(); i++ {
		s := o.Open(b, keys.Options{})
		if _, err := s.Find(b.Context(), m.Digests[i%len(m.Digests)]); err != nil {
			b.Fatal(err)
		}
		if foreign, err := s.HasForeign(b.Context()); err != nil || foreign {
			b.Fatal(foreign, err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// benchList asks each list and the floor in turn.
func (m *Million) benchList(b *testing.B, o Bench) {
	s := o.Open(b, keys.Options{})
	queries := m.queries()
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		b.Run(name, func(b *testing.B) {
			q := queries[name]
			q.Now, q.Limit = m.Now, 50
			var found int
			var more string
			var took, floor []time.Duration
			for b.Loop() {
				began := time.Now()
				page, next, err := s.List(b.Context(), q)
				between := time.Now()
				if err := errors.Join(err, o.Page(b.Context())); err != nil {
					b.Fatal(err)
				}
				took, floor = append(took, between.Sub(began)), append(floor, time.Since(between))
				found, more = len(page), next
			}
			if found < q.Limit && more != "" {
				b.Logf("the page ends early: %d keys", found)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(took), "store-ns")
			b.ReportMetric(float64(slices.Max(took).Nanoseconds()), "max-ns")
			b.ReportMetric(median(floor), "floor-ns")
			b.ReportMetric(float64(found), "keys")
		})
	}
}

func median(took []time.Duration) float64 {
	slices.Sort(took)
	return float64(took[len(took)/2].Nanoseconds())
}

func (m *Million) benchListDeep(b *testing.B, o Bench) {
	s := o.Open(b, keys.Options{})
	q := keys.Query{Now: m.Now, Limit: 200, Status: keys.Active}
	for b.Loop() {
		_, next, err := s.List(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		q.Cursor = next
	}
}

func (m *Million) benchCount(b *testing.B, o Bench) {
	s := o.Open(b, keys.Options{})
	for b.Loop() {
		if _, err := s.Counts(b.Context(), m.Now); err != nil {
			b.Fatal(err)
		}
	}
}

func (m *Million) benchDigests(b *testing.B, o Bench) {
	s := o.Open(b, keys.Options{})
	for b.Loop() {
		n := 0
		if err := s.Digests(b.Context(), func(keys.Digest) bool { n++; return true }); err != nil || n < m.Size {
			b.Fatal(n, err)
		}
	}
}

func (m *Million) benchTouch(b *testing.B, o Bench) {
	s := o.Open(b, keys.Options{})
	used := map[keys.ID]time.Time{}
	at := m.Now
	for b.Loop() {
		at = at.Add(time.Millisecond)
		for _, id := range m.IDs {
			used[id] = at
		}
		if err := s.Touch(b.Context(), used); err != nil {
			b.Fatal(err)
		}
	}
}

func benchCreate(b *testing.B, o Bench) {
	s := o.Fresh(b)
	for i := 0; b.Loop(); i++ {
		if err := s.Create(b.Context(), by(start), "create", []keys.New{newKey(fmt.Sprint("created-", i))}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchUpdate(b *testing.B, o Bench) {
	s := o.Fresh(b)
	k := newKey("a")
	if err := s.Create(b.Context(), by(start), "create", []keys.New{k}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, err := s.Update(b.Context(), by(start), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Enabled = !k.Enabled; return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}
