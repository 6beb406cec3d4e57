package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestFindsFuzzTests(t *testing.T) {
	tree := fstest.MapFS{
		"a/a_test.go":               {Data: []byte("package a\n\nfunc FuzzOne(f *testing.F) {}\n\nfunc TestX(t *testing.T) {}\nfunc FuzzTwo(f *testing.F) {}\n")},
		"a/a.go":                    {Data: []byte("func FuzzNot() {}\n")},
		"a/testdata/b_test.go":      {Data: []byte("func FuzzNot() {}\n")},
		"internal/attack/x_test.go": {Data: []byte("func FuzzSeeds() {}\n")},
		"b/c/d_test.go":             {Data: []byte("// func FuzzNot() is none\nfunc FuzzThree(f *testing.F) {}\n")},
	}
	got, err := find(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []target{{dir: "a", name: "FuzzOne"}, {dir: "a", name: "FuzzTwo"}, {dir: "b/c", name: "FuzzThree"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{})); diff != "" {
		t.Error(diff)
	}
}

func TestProfilesSayWhatWasRun(t *testing.T) {
	got, err := parse(strings.NewReader("mode: set\na.go:1.2,3.4 5 1\na.go:5.2,6.4 1 0\na.go:7.1,7.9 2 10\n"))
	if want := map[string]bool{"a.go:1.2,3.4": true, "a.go:7.1,7.9": true}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parse(strings.NewReader("mode: set\nnonsense\n")); err == nil {
		t.Error("what is no profile is taken for one")
	}
}

func TestWhatReachesNewCodeIsKept(t *testing.T) {
	dir := t.TempDir()
	corpus := filepath.Join(dir, "testdata", "fuzz", "FuzzX")
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(corpus, "had"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	reaches := map[string][]string{"": {"seed", "old"}, "had": {"old"}, "a": {"seed"}, "b": {"seed", "new"}, "c": {"new", "newer"}, "d": {"newer", "new"}}
	x := target{dir: dir, name: "FuzzX"}
	inputs := []input{{name: "had"}, {name: "a"}, {name: "b"}, {name: "c"}, {name: "d"}}
	kept, err := x.choose(inputs, func(name string) (map[string]bool, error) {
		blocks := map[string]bool{}
		for _, block := range reaches[name] {
			blocks[block] = true
		}
		return blocks, nil
	})
	if err != nil || kept != 2 {
		t.Errorf("kept %d, %v; want 2", kept, err)
	}
	left, err := read(corpus)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, in := range left {
		names = append(names, in.name)
	}
	if want := []string{"b", "c", "had"}; !slices.Equal(names, want) {
		t.Errorf("the corpus has %v, want %v", names, want)
	}
}
