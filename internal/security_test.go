package internal

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testNames     = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9_]*)`")
	testFunctions = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9_]*)\(\w+ \*testing\.[TFB]\)`)
)

// A promise of SECURITY.md is worth as much as the tests that it names.
func TestEveryPromiseOfSecurityHasItsTests(t *testing.T) {
	text, err := os.ReadFile("../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	there := testsOf(t, "..")
	for _, fault := range faultsOfPromises(string(text), there) {
		t.Error("SECURITY.md: " + fault)
	}
}

// faultsOfPromises says which promises name no test, or one that is not there.
func faultsOfPromises(text string, there map[string]bool) (faults []string) {
	promises := 0
	attacker := ""
	inTable := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			attacker = heading
		}
		for _, name := range testNames.FindAllStringSubmatch(line, -1) {
			if !there[name[1]] {
				faults = append(faults, name[1]+" is not there any more")
			}
		}
		switch {
		case line == "| promise | proved by |":
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && line != "|---|---|":
			promises++
			cells := strings.Split(strings.Trim(line, "|"), "|")
			if len(cells) != 2 || !testNames.MatchString(cells[1]) || strings.TrimSpace(cells[0]) == "" {
				faults = append(faults, "nothing proves, of "+attacker+": "+line)
			}
		}
	}
	if promises == 0 {
		faults = append(faults, "nothing is promised")
	}
	return faults
}

// testsOf returns the names of all tests below a folder.
func testsOf(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != root && (name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, function := range testFunctions.FindAllStringSubmatch(string(text), -1) {
			names[function[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestPromisesWithoutTestsAreNoticed(t *testing.T) {
	const head = "### Somebody\n\n| promise | proved by |\n|---|---|\n"
	there := map[string]bool{"TestA": true, "FuzzB": true}
	for text, want := range map[string]int{
		head + "| it holds | `TestA`, `FuzzB` |\n":    0,
		head + "| it holds | `TestGone` |\n":          1,
		head + "| it holds | `TestA`, `TestGone` |\n": 1,
		head + "| it holds | |\n":                     1,
		head + "| it holds | TestA |\n":               1, // is no name of a test
		head + "| | `TestA` |\n":                      1,
		head + "| it holds |\n":                       1,
		"":                                            1,
		head:                                          1,
		head + "| it holds | `TestA` |\n\nSee `TestGone`.\n":    1,
		head + "| it holds | `TestA` |\n\n| a | b |\n| 1 | |\n": 0,
	} {
		if faults := faultsOfPromises(text, there); len(faults) != want {
			t.Errorf("%q has the faults %v, want %d", text, faults, want)
		}
	}
}
