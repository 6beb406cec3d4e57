package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkCachedKeysBesideAFlood is what requests with a cached key take at a
// gateway that is flooded with unknown secrets, beside the floors: nothing else
// to do, as many requests that need no look-up since their secret is malformed,
// and what a refusal by bare Caddy costs. docs/scaling.md has its numbers.
func BenchmarkCachedKeysBesideAFlood(b *testing.B) {
	s := startShared(b, counted)
	gateways := make([]*Gateway, 3)
	for i := range gateways {
		gateways[i] = Start(b, quiet(s.options(nil)))
	}
	bare := Start(b, Options{NoAdmin: true, Config: bareCaddyfile})
	cached := gateways[0].Create(nil)
	gateways[0].settled()
	probe := newProber(b, gateways[0], cached.Secret)
	at := func(perSecond int, malformed bool, gateways ...*Gateway) (floods []flooding) {
		for _, g := range gateways {
			floods = append(floods, flooding{Host: g.host(), PerSecond: perSecond / len(gateways), Malformed: malformed})
		}
		return floods
	}
	one := gateways[0]
	for _, c := range []struct {
		name    string
		floods  []flooding
		flooded *Gateway
	}{
		{"nothing", nil, one},
		{"20000 refused by bare Caddy", at(20_000, false, bare), bare},
		{"5000 malformed", at(5_000, true, one), one},
		{"5000 unknown", at(5_000, false, one), one},
		{"10000 malformed", at(10_000, true, one), one},
		{"10000 unknown", at(10_000, false, one), one},
		{"20000 malformed", at(20_000, true, one), one},
		{"20000 unknown", at(20_000, false, one), one},
		{"20000 malformed at three gateways", at(20_000, true, gateways...), one},
		{"20000 unknown at three gateways", at(20_000, false, gateways...), one},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				cpu, busy, began := c.flooded.cpu(), machineBusy(b), time.Now()
				all, times := probe.besides(b, c.floods, 4*time.Second, func() {})
				took := time.Since(began)
				b.ReportMetric(milliseconds(percentile(times, 50)), "p50-ms")
				b.ReportMetric(milliseconds(percentile(times, 99)), "p99-ms")
				b.ReportMetric(milliseconds(slices.Max(times)), "slowest-ms")
				b.ReportMetric(100*(c.flooded.cpu()-cpu).Seconds()/took.Seconds(), "%-of-a-core")
				b.ReportMetric(100*(machineBusy(b)-busy).Seconds()/took.Seconds(), "%-machine")
				if all.Sent > 0 {
					b.ReportMetric(float64(all.Sent)/4, "refused/s")
					b.ReportMetric(100*all.CPU.Seconds()/took.Seconds(), "%-sender")
				}
			}
		})
	}
}

// bareCaddyfile is Caddy's own refusal.
const bareCaddyfile = "http://localhost:8080 {\n\tbind 127.0.0.1\n\trespond /healthz 200\n\trespond 401\n}\n"

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tick is what the kernel counts processor time in.
const tick = 10 * time.Millisecond

// cpu returns the processor time that the gateway has taken.
func (g *Gateway) cpu() time.Duration {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(g.cmd.Process.Pid), "stat"))
	if err != nil {
		g.t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // a name may have spaces in it
	return ticks(g.t, fields[11:13])
}

// machineBusy returns the processor time that all programs have taken together.
func machineBusy(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal
	return ticks(t, slices.Concat(fields[1:4], fields[6:9]))
}

func ticks(t testing.TB, fields []string) (sum time.Duration) {
	t.Helper()
	for _, field := range fields {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(fmt.Errorf("reading processor times: %w", err))
		}
		sum += time.Duration(n) * tick
	}
	return sum
}
