package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gofrs/flock"
)

// Binary returns the path of bin/keywarden, or bin/keywarden-race where the
// tests run under the race detector, built with the Makefile's flags
// by the first caller of this process. Test processes that run side by side
// take turns, and all but the first find nothing to do.
func Binary(t testing.TB) string {
	t.Helper()
	root, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "bin", binaryName)
}

// Root returns the repository's folder.
func Root(t testing.TB) string {
	t.Helper()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

var build = sync.OnceValues(func() (string, error) {
	root, err := findRoot()
	if err != nil {
		return "", err
	}
	if built() {
		return root, nil
	}
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		return "", fmt.Errorf("making bin: %w", err)
	}
	lock := flock.New(filepath.Join(root, "bin", ".lock"))
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("waiting for another build: %w", err)
	}
	defer lock.Close()
	cmd := exec.Command("make", "-s", "build", "bin/"+binaryName)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	return root, nil
})

func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod in this folder or above")
		}
		dir = parent
	}
}
