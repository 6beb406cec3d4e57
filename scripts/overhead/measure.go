package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/caddy-keywarden/keywarden/scripts/internal/program"
)

// figures are what one round of one gateway took, per request.
type figures struct {
	cpu       time.Duration
	objects   float64
	bytes     float64
	perSecond float64
}

func (f figures) micros() float64 { return float64(f.cpu) / float64(time.Microsecond) }
func (f figures) rate() float64   { return f.perSecond }

// side is a gateway, its callers, and what was measured.
type side struct {
	*gateway
	*callers
	rounds []figures
}

func open(ctx context.Context, dir, upstream string, auth bool, o options) (*side, error) {
	g, err := start(ctx, dir, upstream, auth, o)
	if err != nil {
		return nil, err
	}
	c, err := call(ctx, g.front, o.connections, g.secrets, o.headers)
	if err != nil {
		return nil, errors.Join(err, g.Stop())
	}
	return &side{gateway: g, callers: c}, nil
}

func (s *side) end() error {
	s.callers.close()
	return s.Stop()
}

// round sends requests and notes what they took.
func (s *side) round(ctx context.Context, requests int) error {
	objects, size, err := s.allocated(ctx)
	if err != nil {
		return err
	}
	before, err := program.CPU(s.Program)
	if err != nil {
		return err
	}
	took, err := s.send(requests)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	after, err := program.CPU(s.Program)
	if err != nil {
		return err
	}
	objectsAfter, sizeAfter, err := s.allocated(ctx)
	if err != nil {
		return err
	}
	n := float64(requests)
	s.rounds = append(s.rounds, figures{
		cpu: (after - before) / time.Duration(requests), objects: (objectsAfter - objects) / n, bytes: (sizeAfter - size) / n, perSecond: n / took.Seconds(),
	})
	return nil
}

// measure starts both as often as asked for, measures them in turns, and prints
// what came of it.
func measure(ctx context.Context, dir, upstream string, o options) error {
	var starts []pairs
	for i := range o.starts {
		p, err := measureOnce(ctx, dir, upstream, o)
		if err != nil {
			return err
		}
		starts = append(starts, p)
		_, _, cpu := p.compare(figures.micros)
		_, _, rate := p.compare(figures.rate)
		fmt.Fprintf(os.Stderr, "start %2d of %d: CPU × %.3f, requests a second × %.3f\n", i+1, o.starts, cpu, rate)
	}
	fmt.Printf("%d starts, %d rounds of %d requests each, %d connections; bare Caddy, Keywarden, and what is added: medians of starts, of which each is the median of its pairs\n",
		o.starts, o.rounds, o.requests, o.connections)
	show := func(what, unit string, figure func(figures) float64) {
		b, k, ratios := compareStarts(starts, figure)
		fmt.Printf("%-22s %9.1f %9.1f %-4s %+6.1f  × %.3f (%.3f to %.3f)\n", what, b, k, unit, k-b, median(ratios), ratios[0], ratios[len(ratios)-1])
	}
	show("CPU a request", "µs", figures.micros)
	show("allocations a request", "", func(f figures) float64 { return f.objects })
	show("allocated a request", "B", func(f figures) float64 { return f.bytes })
	show("requests a second", "", figures.rate)
	return nil
}

// measureOnce starts both, and measures them in turns.
func measureOnce(ctx context.Context, dir, upstream string, o options) (p pairs, err error) {
	if dir, err = os.MkdirTemp(dir, "start"); err != nil {
		return p, err
	}
	bare, err := open(ctx, dir, upstream, false, o)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, bare.end()) }()
	ours, err := open(ctx, dir, upstream, true, o)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, ours.end()) }()
	both := []*side{bare, ours}
	for _, s := range both { // connections to the upstream, the heap's size, every key in the cache
		if _, err := s.send(max(o.requests, o.keys+o.connections)); err != nil {
			return p, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	var profiles []chan error
	if o.profile != "" {
		for _, s := range both {
			profiles = append(profiles, s.profile(ctx, o))
		}
	}
	for i := range o.rounds {
		for _, s := range both {
			if err := s.round(ctx, o.requests); err != nil {
				return p, err
			}
		}
		slices.Reverse(both)
		b, k := bare.rounds[i], ours.rounds[i]
		fmt.Fprintf(os.Stderr, "round %2d of %d: CPU %6.1f and %6.1f µs, %.3f; allocations %.1f and %.1f; requests a second %.0f and %.0f, %.3f\n", i+1, o.rounds,
			b.micros(), k.micros(), k.micros()/b.micros(), b.objects, k.objects, b.rate(), k.rate(), k.rate()/b.rate())
	}
	for _, done := range profiles {
		if err := <-done; err != nil {
			return p, err
		}
	}
	return pairs{bare.rounds, ours.rounds}, nil
}

// pairs are the rounds of both in one start. Two of one number were beside each
// other: what else the machine did met both.
type pairs struct{ bare, ours []figures }

// compare returns the medians of both, and of the ratios of each pair.
func (p pairs) compare(figure func(figures) float64) (b, k, ratio float64) {
	var bs, ks, ratios []float64
	for i := range p.bare {
		bs, ks = append(bs, figure(p.bare[i])), append(ks, figure(p.ours[i]))
		ratios = append(ratios, ks[i]/bs[i])
	}
	return median(bs), median(ks), median(ratios)
}

// compareStarts returns the medians of what each start's comparison said, and
// the ratios of all of them, from the least to the greatest.
func compareStarts(starts []pairs, figure func(figures) float64) (b, k float64, ratios []float64) {
	var bs, ks []float64
	for _, p := range starts {
		b, k, ratio := p.compare(figure)
		bs, ks, ratios = append(bs, b), append(ks, k), append(ratios, ratio)
	}
	slices.Sort(ratios)
	return median(bs), median(ks), ratios
}

func median(values []float64) float64 {
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

// profile has the gateway write a CPU profile of the next seconds to a file.
func (s *side) profile(ctx context.Context, o options) chan error {
	done := make(chan error, 1)
	go func() {
		_, text, err := program.Ask(ctx, "GET", "http://"+s.manage+"/debug/pprof/profile?seconds="+strconv.Itoa(3*o.rounds), nil)
		if err == nil {
			err = os.WriteFile(filepath.Join(o.profile, s.Name+".pprof"), text, 0o600)
		}
		done <- err
	}()
	return done
}
