package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// input is a file of a corpus.
type input struct {
	name string
	text []byte
}

// keep copies the inputs that reach new code to testdata/fuzz, the shortest
// first, and returns how many of how many.
func (t target) keep(ctx context.Context, flags []string) (kept, of int, err error) {
	inputs, err := read(t.found)
	if err != nil || len(inputs) == 0 {
		return 0, 0, err
	}
	work, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	binary := filepath.Join(work, "test")
	args := append([]string{"test", "-c", "-cover", "-o", binary}, flags...)
	if _, err := output(ctx, t.dir, "go", args...); err != nil {
		return 0, 0, err
	}
	kept, err = t.choose(inputs, func(name string) (map[string]bool, error) {
		return t.reached(ctx, binary, filepath.Join(work, "profile"), name)
	})
	return kept, len(inputs), err
}

// choose leaves those inputs in testdata/fuzz that reach blocks which nothing
// before them does. An input that was there stays.
func (t target) choose(inputs []input, reached func(name string) (map[string]bool, error)) (kept int, err error) {
	covered, err := reached("")
	if err != nil {
		return 0, err
	}
	corpus := filepath.Join(t.dir, "testdata", "fuzz", t.name)
	if err := os.MkdirAll(corpus, 0o755); err != nil { //nolint:gosec // G301: a folder of the repository
		return 0, err
	}
	for _, in := range inputs {
		path := filepath.Join(corpus, in.name)
		if _, err := os.Stat(path); err == nil {
			continue // it counts among what was reached before
		}
		if err := os.WriteFile(path, in.text, 0o644); err != nil { //nolint:gosec // G306: a file of the repository
			return kept, err
		}
		blocks, err := reached(in.name)
		if err != nil {
			return kept, errors.Join(err, os.Remove(path))
		}
		if !add(covered, blocks) {
			if err := os.Remove(path); err != nil {
				return kept, err
			}
			continue
		}
		kept++
	}
	if kept == 0 {
		_ = os.Remove(corpus) // it is empty, or keeps what it had
	}
	return kept, nil
}

// add puts blocks into covered and reports whether any of them is new.
func add(covered, blocks map[string]bool) bool {
	fresh := false
	for block := range blocks {
		fresh = fresh || !covered[block]
		covered[block] = true
	}
	return fresh
}

// read returns the files of a folder, the shortest first; none where there is
// no folder.
func read(dir string) ([]input, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var inputs []input
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, input{name: e.Name(), text: text})
	}
	slices.SortFunc(inputs, func(a, b input) int {
		return cmp.Or(cmp.Compare(len(a.text), len(b.text)), strings.Compare(a.name, b.name))
	})
	return inputs, nil
}

// reached returns the blocks that one input of the corpus reaches; all of them
// and the seeds where name is empty.
func (t target) reached(ctx context.Context, binary, profile, name string) (map[string]bool, error) {
	pattern := "^" + t.name + "$"
	if name != "" {
		pattern += "/^" + name + "$"
	}
	if _, err := output(ctx, t.dir, binary, "-test.run="+pattern, "-test.coverprofile="+profile); err != nil {
		return nil, err
	}
	f, err := os.Open(profile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(f)
}

// parse returns the blocks of a coverage profile that were run.
func parse(profile io.Reader) (map[string]bool, error) {
	blocks := map[string]bool{}
	lines := bufio.NewScanner(profile)
	for lines.Scan() {
		block, count, ok := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(block, "mode:") {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("a line of a coverage profile is %q", lines.Text())
		}
		if !strings.HasSuffix(count, " 0") {
			blocks[block] = true
		}
	}
	return blocks, lines.Err()
}
