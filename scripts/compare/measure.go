package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/scripts/internal/program"
)

// round is one measurement of one subject.
type round struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // of the gateway, and of the service that it asks, per request
	resident  float64       // MiB of the gateway, after it
}

// series are the rounds of one subject.
type series struct {
	subject
	rounds []round
}

// measureAll measures all subjects that are installed, in turns.
func (w *world) measureAll(ctx context.Context) (all []*series, missing []string, err error) {
	for _, s := range append(subjects(), w.large()...) {
		switch {
		case w.only != nil && !w.only.MatchString(s.name):
		case find(w.bin, s.program) == "":
			missing = append(missing, fmt.Sprintf("%s (%s is not installed)", s.name, s.program))
		case s.scale != nil && s.scale.needsPostgres && w.postgres == "":
			missing = append(missing, s.name+" (no -postgres was given)")
		default:
			all = append(all, &series{subject: s})
		}
	}
	for _, s := range all {
		if s.scale == nil {
			continue
		}
		if err := w.prepare(ctx, &s.subject); err != nil {
			return nil, nil, fmt.Errorf("filling %s: %w", s.name, err)
		}
	}
	for i := range w.rounds {
		for _, s := range all {
			if s.scale != nil && i >= largeRounds {
				continue
			}
			r, err := w.measure(ctx, &s.subject)
			if err != nil {
				return nil, nil, fmt.Errorf("measuring %s: %w", s.name, err)
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %-22s %7.0f requests/s, %6.1f µs CPU a request\n", i+1, w.rounds, s.name, r.perSecond, micros(r.cpu))
			s.rounds = append(s.rounds, r)
		}
	}
	return all, missing, nil
}

// measure starts a subject, warms it up until each key was used, and measures.
func (w *world) measure(ctx context.Context, s *subject) (r round, err error) {
	p, err := w.launch(ctx, s)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	used := int64(0)
	for used < int64(s.used(w.keys)) {
		l, err := w.run(ctx, s, time.Second, used)
		if err != nil {
			return r, err
		}
		used += l.Requests
	}
	before, err := w.cpuOf(s, p)
	if err != nil {
		return r, err
	}
	l, err := w.run(ctx, s, s.length(w.length), used)
	if err != nil {
		return r, err
	}
	after, err := w.cpuOf(s, p)
	if err != nil {
		return r, err
	}
	resident, err := program.Resident(p)
	if err != nil {
		return r, err
	}
	return round{
		perSecond: float64(l.Requests) / (float64(l.Micros) / 1e6),
		p50:       time.Duration(l.P50) * time.Microsecond, p99: time.Duration(l.P99) * time.Microsecond,
		cpu:      (after - before) / time.Duration(l.Requests),
		resident: resident,
	}, nil
}

// length is how long a subject is measured, where it is usual so long. What a
// hundred thousand keys were used for is written down every 20 to 60 seconds: a
// short time would hold all of it or nothing.
func (s *subject) length(usual time.Duration) time.Duration {
	if s.scale != nil {
		return largeTimes * usual
	}
	return usual
}

// large are the large cases, if they were asked for.
func (w *world) large() []subject {
	if !w.scale {
		return nil
	}
	return largeCases()
}

// cpuOf is what a subject has used, with the service that it asks.
func (w *world) cpuOf(s *subject, p *program.Program) (time.Duration, error) {
	all := []*program.Program{p}
	for _, helper := range w.helpers {
		if s.service && helper.Name == "auth" {
			all = append(all, helper)
		}
	}
	return program.CPU(all...)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// median and spread (half of the range) of one figure of the rounds.
func (s *series) median(figure func(round) float64) (middle, spread float64) {
	var values []float64
	for _, r := range s.rounds {
		values = append(values, figure(r))
	}
	slices.Sort(values)
	return values[len(values)/2], (values[len(values)-1] - values[0]) / 2
}

// ratio is the median of one figure's ratios to those of base, round by round: a
// machine that others use is slower for minutes, and for both.
func (s *series) ratio(base *series, figure func(round) float64) float64 {
	var values []float64
	for i := range min(len(s.rounds), len(base.rounds)) {
		values = append(values, figure(s.rounds[i])/figure(base.rounds[i]))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
