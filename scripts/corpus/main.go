// Command corpus keeps what fuzzing has found: of the inputs that Go's fuzzer
// has stored in its cache it copies those to testdata/fuzz that reach code
// which neither the seeds nor the inputs kept before reach. From there `go test`
// runs them each time, on every machine, and `make fuzz` goes on from them.
//
//	go run ./scripts/corpus [go build flags]
//
// An input that fails is never kept: it is a fault to mend, which fuzzing has
// put in testdata/fuzz itself.
package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, flags []string) error {
	targets, err := find(os.DirFS("."))
	if err != nil {
		return err
	}
	cache, err := output(ctx, "", "go", "env", "GOCACHE")
	if err != nil {
		return err
	}
	module, err := output(ctx, "", "go", "list", "-m")
	if err != nil {
		return err
	}
	for _, t := range targets {
		t.found = filepath.Join(cache, "fuzz", module, t.dir, t.name)
		kept, of, err := t.keep(ctx, flags)
		if err != nil {
			return fmt.Errorf("%s %s: %w", t.dir, t.name, err)
		}
		fmt.Printf("%s %s: kept %d of %d\n", t.dir, t.name, kept, of)
	}
	return nil
}

// target is one fuzz test.
type target struct {
	dir, name string
	found     string // the folder of what fuzzing has found
}

// seeds are tests whose only input is the seed of a generator: no input of
// theirs is worth more than another, and each takes seconds.
const seeds = "internal/attack"

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(`)

// find returns the fuzz tests of a tree.
func find(tree fs.FS) ([]target, error) {
	var targets []target
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (path == seeds || d.Name() == "testdata" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		for _, found := range declaration.FindAllSubmatch(text, -1) {
			targets = append(targets, target{dir: filepath.Dir(path), name: string(found[1])})
		}
		return nil
	})
	return targets, err
}

// output runs a command and returns what it prints, without space around it.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // G204: the go command, and tests that it built
	cmd.Dir = dir
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return strings.TrimSpace(out.String()), nil
}
