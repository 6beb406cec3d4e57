// Command baseline measures what the request path costs and compares it with
// bench/baseline.txt: allocations and bytes of the benchmarks called
// BenchmarkCost, and the instructions that valgrind counts for them. It fails
// when one has grown, so that a change that makes requests dearer is a change to
// that file as well. Times are printed and not judged: they are the machine's.
//
//	go run ./scripts/baseline [-write] [go build flags]
//
// Without valgrind, or with another version of Go than the file's, it says so
// and judges allocations only.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
)

// file holds what was measured when somebody last ran make baseline.
const file = "bench/baseline.txt"

// again is how many more processes are asked before something has grown.
const again = 2

// packages are those whose BenchmarkCost is measured.
var packages = []string{"internal/route", "internal/gate", "caddymodule"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	flags := os.Args[1:]
	write := len(flags) > 0 && flags[0] == "-write"
	if write {
		flags = flags[1:]
	}
	if err := run(ctx, write, flags); err != nil {
		fmt.Fprintln(os.Stderr, "baseline:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, write bool, flags []string) (err error) {
	dir, err := os.MkdirTemp("", "baseline")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	now, err := measureAll(ctx, dir, flags)
	if err != nil {
		return err
	}
	if write {
		return record(now)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w; make baseline writes it", err)
	}
	then, err := parseBaseline(string(text))
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	faults := compare(os.Stdout, then, now)
	// A process may be an exception in all of its runs: where a map or a cache
	// has put what is asked for is chance. What others do not need is not needed.
	for n := 0; n < again && len(faults) > 0; n++ {
		fmt.Printf("measuring again: %v\n", errors.Join(faults...))
		anew, err := measureAll(ctx, dir, flags)
		if err != nil {
			return err
		}
		now = now.least(anew)
		faults = compare(os.Stdout, then, now)
	}
	if len(faults) > 0 {
		return fmt.Errorf("requests cost more than %s says: %w\nif that is meant, run make baseline and say why in the commit", file, errors.Join(faults...))
	}
	return nil
}

func record(now baseline) error {
	if !now.counted() {
		return errors.New("instructions were not counted: " + now.uncounted)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(now.String()), 0o600); err != nil {
		return err
	}
	fmt.Print(now)
	return nil
}

func measureAll(ctx context.Context, dir string, flags []string) (baseline, error) {
	all := baseline{costs: map[string]cost{}}
	for _, p := range packages {
		binary, err := build(ctx, dir, p, flags)
		if err != nil {
			return all, err
		}
		if err := all.measure(ctx, binary, p); err != nil {
			return all, fmt.Errorf("measuring %s: %w", p, err)
		}
	}
	return all, nil
}

// sortedNames returns the names of all costs.
func (b baseline) sortedNames() []string {
	var names []string
	for name := range b.costs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
