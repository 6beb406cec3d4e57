package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func measured() baseline {
	return baseline{goVersion: "go1.99", cpu: "a processor", costs: map[string]cost{
		"internal/gate/allowed":     {allocs: 0, bytes: 4, instructions: 5000, nanoseconds: 300},
		"caddymodule/handler-added": {allocs: 2, bytes: 300, instructions: 9000, nanoseconds: 900},
	}}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	then := measured()
	read, err := parseBaseline(then.String())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range then.costs {
		c.nanoseconds = 0 // which is not recorded
		if diff := cmp.Diff(c, read.costs[name], cmp.AllowUnexported(cost{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if read.goVersion != "go1.99" || read.cpu != "a processor" {
		t.Errorf("read %q and %q", read.goVersion, read.cpu)
	}
	if _, err := parseBaseline("go: go1.99\nname 1 allocs"); err == nil {
		t.Error("a line that ends early is read")
	}
}

func TestTheLeastOfSeveralRunsCounts(t *testing.T) {
	got, err := parseBenchmarks(`goos: linux
BenchmarkCost/allowed-2         	    2000	       398.0 ns/op	       4 B/op	       1 allocs/op
BenchmarkCost/allowed-2         	    2000	       392.5 ns/op	       8 B/op	       0 allocs/op
BenchmarkCost/bare         	    2000	      1389 ns/op	    2136 B/op	      22 allocs/op
PASS
`)
	want := map[string]cost{"allowed": {nanoseconds: 392.5, bytes: 4}, "bare": {nanoseconds: 1389, bytes: 2136, allocs: 22}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(cost{})); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := parseBenchmarks("PASS\n"); err == nil {
		t.Error("no benchmark is no fault")
	}
}

func TestTheLeastOfSeveralProcessesCounts(t *testing.T) {
	one, other := measured(), measured()
	for name, c := range one.costs {
		dear := c
		dear.allocs, dear.bytes, dear.instructions, dear.nanoseconds = c.allocs+1, c.bytes+1000, c.instructions*2, c.nanoseconds*2
		one.costs[name] = dear
	}
	if diff := cmp.Diff(measured(), one.least(other), cmp.AllowUnexported(baseline{}, cost{})); diff != "" {
		t.Error(diff)
	}
}

func TestWhatHasGrownIsAFault(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*baseline)
		want   []string
	}{
		{"nothing", func(*baseline) {}, nil},
		{"less of everything", func(b *baseline) { b.costs["caddymodule/handler-added"] = cost{} }, nil},
		{"time alone", edit(func(c *cost) { c.nanoseconds *= 10 }), nil},
		{"one allocation", edit(func(c *cost) { c.allocs++ }), []string{"3 allocations, was 2"}},
		{"bytes within the margin", edit(func(c *cost) { c.bytes += 31 }), nil},
		{"bytes beyond it", edit(func(c *cost) { c.bytes += 32 }), []string{"332 bytes allocated, was 300"}},
		{"instructions within the margin", edit(func(c *cost) { c.instructions += 450 }), nil},
		{"instructions beyond it", edit(func(c *cost) { c.instructions += 451 }), []string{"9451 instructions, was 9000 (+5.0 %"}},
		{"all at once", edit(func(c *cost) { *c = cost{allocs: 9, bytes: 900, instructions: 99_000} }), []string{"9 allocations", "900 bytes", "99000 instructions"}},
		{"instructions, by another compiler", func(b *baseline) {
			b.goVersion = "go2"
			edit(func(c *cost) { c.instructions *= 2 })(b)
		}, nil},
		{"instructions, on another processor", func(b *baseline) {
			b.cpu = "another"
			edit(func(c *cost) { c.instructions *= 2 })(b)
		}, nil},
		{"an allocation, without valgrind", func(b *baseline) {
			b.uncounted = "valgrind is not installed"
			edit(func(c *cost) { c.allocs++ })(b)
		}, []string{"3 allocations, was 2"}},
		{"a benchmark that is new", func(b *baseline) { b.costs["new"] = cost{} }, []string{"new is not in it"}},
		{"a benchmark that is gone", func(b *baseline) { delete(b.costs, "internal/gate/allowed") }, []string{"internal/gate/allowed was not measured"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := measured()
			c.change(&now)
			var out strings.Builder
			faults := compare(&out, measured(), now)
			if len(faults) != len(c.want) {
				t.Fatalf("faults %v, want %v", faults, c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(faults[i].Error(), want) {
					t.Errorf("the fault is %q, want %q", faults[i], want)
				}
			}
			if why := now.whyUnjudged(measured()); why != "" && !strings.Contains(out.String(), "not judged: "+why) {
				t.Errorf("nobody is told that %s:\n%s", why, &out)
			}
		})
	}
}

func edit(change func(*cost)) func(*baseline) {
	return func(b *baseline) {
		c := b.costs["caddymodule/handler-added"]
		change(&c)
		b.costs["caddymodule/handler-added"] = c
	}
}

func TestCountsAreReadFromWhatCallgrindWrites(t *testing.T) {
	name, each, ok := parseCount("version: 1\ncreator: callgrind-3.19.0\ndesc: Trigger: Client Request: BenchmarkCost/allowed 500\n\nevents: Ir\nsummary: 18446744073709551615\ntotals: 5010645\n")
	if !ok || name != "allowed" || each != 10021.29 {
		t.Errorf("read %s, %v, %t", name, each, ok)
	}
	for _, text := range []string{
		"desc: Trigger: Program termination\ntotals: 13\n",
		"desc: Trigger: Client Request: BenchmarkCost/allowed 1\ntotals: 13\n",
		"desc: Trigger: Client Request: BenchmarkCost/allowed 500\n",
	} {
		if _, _, ok := parseCount(text); ok {
			t.Errorf("a count is read from %q", text)
		}
	}
	if got := processorOf("goos: linux\ncpu: Intel(R) Core(TM) i7\nBenchmark"); got != "Intel(R) Core(TM) i7" {
		t.Errorf("the processor is %q", got)
	}
}

// A file that nobody can read, or without what is measured, would judge nothing.
func TestTheRecordedBaselineHasEveryPackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	b, err := parseBaseline(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		if !slices.ContainsFunc(b.sortedNames(), func(name string) bool { return strings.HasPrefix(name, p+"/") }) {
			t.Errorf("nothing of %s", p)
		}
	}
	for name, c := range b.costs {
		if c.instructions <= 0 {
			t.Errorf("%s: no instructions", name)
		}
	}
}
