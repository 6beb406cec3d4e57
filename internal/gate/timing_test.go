package gate

import (
	"crypto/rand"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// How long things take is measured here and judged by people: a machine that
// does other things as well fails no test. What is judged is that digests are
// compared in one way for all (internal/keys, internal/digests_test.go).

// timed is something whose time must not tell it from the others.
type timed struct {
	name string
	run  func()
}

// interleave measures all of them by turns, in another order each time, so
// that whatever else the machine does befalls all alike. A sample is the mean
// of several runs, in nanoseconds: reading the clock takes as long as one.
func interleave(b *testing.B, all []timed) [][]float64 {
	b.Helper()
	const runs, most = 16, 1_000_000
	samples := make([][]float64, len(all))
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	for b.Loop() {
		mathrand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			began := time.Now()
			for range runs {
				all[i].run()
			}
			took := float64(time.Since(began)) / runs
			if len(samples[i]) < most {
				samples[i] = append(samples[i], took)
			}
		}
	}
	return samples
}

// compareTimes logs the mean of each, and Welch's t of each against the first
// one: beyond 4.5 either way, a difference is taken for real (Reparaz et al.,
// "Dude, is my code constant time?", 2017). The slowest tenth is left out, as
// there, since it is the machine's.
func compareTimes(b *testing.B, all []timed) {
	b.Helper()
	samples := crop(interleave(b, all))
	var table strings.Builder
	for i, one := range all {
		mean, _ := meanAndVariance(samples[i])
		fmt.Fprintf(&table, "\n%-32s %8.1f ns", one.name, mean)
		if i > 0 {
			reference, _ := meanAndVariance(samples[0])
			fmt.Fprintf(&table, "   %+6.1f ns   t %+6.2f", mean-reference, welch(samples[i], samples[0]))
		}
	}
	b.Logf("%d samples each:%s", len(samples[0]), table.String())
}

// crop leaves out what is above the ninth tenth of all samples together.
func crop(samples [][]float64) [][]float64 {
	together := slices.Sorted(slices.Values(slices.Concat(samples...)))
	limit := together[(len(together)-1)*9/10]
	out := make([][]float64, len(samples))
	for i, list := range samples {
		for _, x := range list {
			if x <= limit {
				out[i] = append(out[i], x)
			}
		}
	}
	return out
}

func meanAndVariance(samples []float64) (mean, variance float64) {
	for _, x := range samples {
		mean += x
	}
	mean /= float64(len(samples))
	for _, x := range samples {
		variance += (x - mean) * (x - mean)
	}
	return mean, variance / float64(len(samples)-1)
}

// welch returns Welch's t (1947) of two samples.
func welch(a, b []float64) float64 {
	meanA, varianceA := meanAndVariance(a)
	meanB, varianceB := meanAndVariance(b)
	return (meanA - meanB) / math.Sqrt(varianceA/float64(len(a))+varianceB/float64(len(b)))
}

// The example is Student's, of what sleep two drugs give (1908), by which R
// documents its t.test: t = -1.8608.
func TestWelchsTIsTheTextbooks(t *testing.T) {
	one := []float64{0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0}
	two := []float64{1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4}
	if got := welch(one, two); math.Abs(got+1.8608) > 0.0001 {
		t.Errorf("t is %f", got)
	}
	want := [][]float64{{1, 2, 3, 4, 5}, {6, 7, 8, 9}}
	if diff := cmp.Diff(want, crop([][]float64{{1, 2, 3, 4, 5}, {6, 7, 8, 9, 1000}}), cmpopts.EquateApprox(0, 1)); diff != "" {
		t.Errorf("cropped (-want +got):\n%s", diff)
	}
}

// BenchmarkTimeTellsNoDigest asks for digests that share their first 8 bytes
// with one that is remembered, by which it is found, and then differ early
// or late. What is asked for once more says how much the measure
// itself is off.
func BenchmarkTimeTellsNoDigest(b *testing.B) {
	bench := newBench(b, testOptions)
	c := bench.lookup.cache
	_, secret := bench.create(b, nil)
	bench.find(b, secret, time.Now())
	c.Wait()
	d := secret.Digest()
	var asked keys.Digest // one for all: else it is where they lie in memory that is measured
	get := func(name string, place int) timed {
		return timed{name, func() {
			asked = d
			asked[place] ^= 1
			if _, ok := c.Get(&asked); ok {
				b.Fatal("another digest is taken for it")
			}
		}}
	}
	compareTimes(b, []timed{
		get("differs in byte 8", 8),
		get("differs in byte 8, once more", 8),
		get("differs in byte 16", 16),
		get("differs in byte 24", 24),
		get("differs in byte 31", 31),
	})
}

// BenchmarkTimeOfRefusals takes decisions on secrets that are remembered, so
// that nothing is hidden behind the time of a store. Those with the same answer
// come first.
func BenchmarkTimeOfRefusals(b *testing.B) {
	bench := newBench(b, testOptions)
	g := bench.gate(b, twoHundredPatterns(), DefaultCredentials())
	now := time.Now()
	one := func(name string, secret keys.Secret, want Outcome) timed {
		r := request(http.MethodPost, "/a33/abc123/run", "", "Authorization", "Bearer "+secret.Reveal())
		check := func() {
			if d := g.Decide(r, now); d.Outcome != want {
				b.Fatalf("%s: %s, want %s", name, d.Outcome, want)
			}
		}
		check() // and remember
		bench.lookup.cache.Wait()
		return timed{name, check}
	}
	stranger := func() keys.Secret {
		secret, err := keys.NewSecret("kw", rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		return secret
	}
	deleted, gone := bench.create(b, nil)
	if err := bench.store.Delete(b.Context(), by, deleted.ID, keys.Guard{}); err != nil {
		b.Fatal(err)
	}
	_, disabled := bench.create(b, func(k *keys.Key) { k.Enabled = false })
	_, expired := bench.create(b, func(k *keys.Key) { k.ExpiresAt = now.Add(-time.Hour) })
	_, forbidden := bench.create(b, func(k *keys.Key) { k.Permissions = permission.Set{Mode: permission.ReadOnly} })
	compareTimes(b, []timed{
		one("unknown", stranger(), UnknownKey),
		one("unknown, once more", stranger(), UnknownKey),
		one("deleted", gone, UnknownKey),
		one("disabled", disabled, DisabledKey),
		one("expired", expired, ExpiredKey),
		one("known, but forbidden", forbidden, InsufficientAccess),
	})
}
