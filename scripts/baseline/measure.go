package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	// operations is how many times each benchmark does what it measures, times
	// how often; the least of them counts. Under valgrind fewer do.
	operations, counted = 2000, 500
	times               = 3
	// patience bounds a run under valgrind, which takes some seconds.
	patience = 5 * time.Minute
)

// build builds a package's test binary, without symbols: nobody looks at them,
// and linking them takes as long again.
func build(ctx context.Context, dir, pkg string, flags []string) (string, error) {
	binary := filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-")+".test")
	args := append(append([]string{"test"}, flags...), "-c", "-ldflags", "-s -w", "-o", binary, "./"+pkg)
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil { //nolint:gosec // flags of whoever runs it
		return "", fmt.Errorf("building the tests of %s: %w\n%s", pkg, err, out)
	}
	return binary, nil
}

// measure adds what the benchmarks of a package cost.
func (b *baseline) measure(ctx context.Context, binary, pkg string) error {
	out, err := bench(ctx, nil, binary, pkg, operations, times)
	if err != nil {
		return err
	}
	costs, err := parseBenchmarks(out)
	if err != nil {
		return err
	}
	b.goVersion = runtime.Version()
	counts := b.count(ctx, binary, pkg)
	for name, c := range costs {
		c.instructions = counts[name]
		costs[name] = c
	}
	bare, isAdded := costs["bare"]
	delete(costs, "bare")
	for name, c := range costs {
		if isAdded {
			c, name = c.minus(bare), name+"-added"
		}
		b.costs[pkg+"/"+name] = c
	}
	return nil
}

// bench runs the benchmarks of a test binary, behind the words of a wrapper.
func bench(ctx context.Context, wrapper []string, binary, pkg string, n, count int) (string, error) {
	words := append(wrapper, binary, "-test.run", "^$", "-test.bench", "^BenchmarkCost$", "-test.benchmem",
		"-test.benchtime", strconv.Itoa(n)+"x", "-test.count", strconv.Itoa(count))
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // our own tests
	cmd.Dir = pkg
	// One thread at a time, no collection and no preemption: what is left is
	// the same each time.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return string(out), nil
}

// count returns the instructions of one operation of each benchmark; none
// where they can't be counted, and then b says why.
func (b *baseline) count(ctx context.Context, binary, pkg string) map[string]float64 {
	if b.uncounted != "" {
		return nil
	}
	counts, err := b.tryCount(ctx, binary, pkg)
	if err != nil {
		b.uncounted = err.Error()
	}
	return counts
}

func (b *baseline) tryCount(ctx context.Context, binary, pkg string) (map[string]float64, error) {
	valgrind, err := exec.LookPath("valgrind")
	if err != nil {
		return nil, errors.New("valgrind is not installed")
	}
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("they can be counted on amd64 only, and this is %s", runtime.GOARCH)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The last part of each file's name is callgrind's.
	prefix := binary + ".callgrind"
	out, err := bench(ctx, []string{valgrind, "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=" + prefix}, binary, pkg, counted, times)
	if err != nil {
		return nil, fmt.Errorf("running valgrind: %w", err)
	}
	b.cpu = processorOf(out)
	files, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, err
	}
	counts := map[string]float64{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		name, each, ok := parseCount(string(text))
		if !ok {
			continue
		}
		if least, found := counts[name]; !found || each < least {
			counts[name] = each
		}
	}
	return counts, nil
}

var (
	request = regexp.MustCompile(`(?m)^desc: Trigger: Client Request: BenchmarkCost/(\S+) ([0-9]+)$`)
	totals  = regexp.MustCompile(`(?m)^totals: ([0-9]+)$`)
)

// parseCount reads one of the files that callgrind writes: of which benchmark
// it is, and how many instructions an operation took. The runs with which Go
// tries a benchmark out, and the end of the program, are not counts.
func parseCount(text string) (name string, each float64, ok bool) {
	of, total := request.FindStringSubmatch(text), totals.FindStringSubmatch(text)
	if of == nil || total == nil || of[2] != strconv.Itoa(counted) {
		return "", 0, false
	}
	n, err := strconv.ParseFloat(total[1], 64)
	return of[1], n / counted, err == nil
}

// processorOf is the processor that a run under valgrind saw: valgrind has one
// of its own, after that of the machine, and programs choose their code by it.
func processorOf(out string) string {
	_, after, _ := strings.Cut(out, "\ncpu: ")
	name, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(name)
}
