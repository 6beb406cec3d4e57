package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func testCredentials(t *testing.T) *credentials {
	t.Helper()
	return &credentials{filepath.Join(t.TempDir(), "config", "keywarden", "credentials.json")}
}

var someLogin = saved{Address: "http://localhost:2020", Key: "kw_secret"}

func TestSavedLoginIsReadableByItsOwnerAlone(t *testing.T) {
	c := testCredentials(t)
	if err := c.save(someLogin); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{filepath.Dir(c.path): 0o700, c.path: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
	got, open, err := c.load()
	if got != someLogin || open || err != nil {
		t.Errorf("got %v, open %v, %v", got, open, err)
	}
}

func TestSavingReplacesAFileThatOthersCouldRead(t *testing.T) {
	c := testCredentials(t)
	if err := c.save(someLogin); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(c.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, open, err := c.load(); !open || err != nil {
		t.Errorf("open %v, %v; want a warning", open, err)
	}
	if err := c.save(someLogin); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(c.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

// Readers at any moment see one whole login or another, and no file is left.
func TestSavingIsAtomic(t *testing.T) {
	c := testCredentials(t)
	if err := c.save(someLogin); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			key := strings.Repeat(fmt.Sprint(n), 100+n)
			for range 20 {
				if err := c.save(saved{Address: someLogin.Address, Key: key}); err != nil {
					t.Error(err)
				}
				if _, _, err := c.load(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	files, err := os.ReadDir(filepath.Dir(c.path))
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestADamagedLoginIsExplainedWithoutQuotingIt(t *testing.T) {
	for name, text := range map[string]string{
		"empty":       "",
		"half":        `{"address":"http://localhost:2020","key":"kw_sec`,
		"no key":      `{"address":"http://localhost:2020"}`,
		"no address":  `{"key":"kw_secret"}`,
		"wrong type":  `{"address":"http://localhost:2020","key":["kw_secret"]}`,
		"huge":        strings.Repeat("kw_secret", 1<<20),
		"bad address": `{"address":"ftp://kw_secret@x","key":"kw_secret"}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := testCredentials(t)
			if err := c.save(someLogin); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, _, err := c.load()
			if err == nil || errors.Is(err, errNoLogin) || !strings.Contains(err.Error(), c.path) || strings.Contains(err.Error(), "kw_sec") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestNoLoginIsToldApartFromOneThatCannotBeRead(t *testing.T) {
	c := testCredentials(t)
	if _, _, err := c.load(); !errors.Is(err, errNoLogin) {
		t.Errorf("load: %v", err)
	}
	if err := c.remove(); !errors.Is(err, errNoLogin) {
		t.Errorf("remove: %v", err)
	}
	if err := os.MkdirAll(c.path, 0o700); err != nil { // a folder in its place
		t.Fatal(err)
	}
	if _, _, err := c.load(); err == nil || errors.Is(err, errNoLogin) {
		t.Errorf("load of a folder: %v", err)
	}
	if err := c.save(someLogin); err == nil {
		t.Error("saved over a folder")
	}
	if files, err := os.ReadDir(filepath.Dir(c.path)); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestPrepareFindsOutThatNothingCanBeSaved(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &credentials{filepath.Join(dir, "config", "keywarden", "credentials.json")}
	if err := c.prepare(); err == nil {
		t.Error("a file in the folder's place went unnoticed")
	}
	good := testCredentials(t)
	if err := good.prepare(); err != nil {
		t.Error(err)
	}
	if files, err := os.ReadDir(filepath.Dir(good.path)); err != nil || len(files) != 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestLoginFileStandsWhereXDGSays(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"set":      {map[string]string{"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/keywarden/credentials.json"},
		"unset":    {map[string]string{"HOME": "/h"}, "/h/.config/keywarden/credentials.json"},
		"relative": {map[string]string{"XDG_CONFIG_HOME": "x", "HOME": "/h"}, "/h/.config/keywarden/credentials.json"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProgram(Options{Getenv: func(name string) string { return c.env[name] }}, nil)
			if file, err := p.credentials(); err != nil || file.path != c.want {
				t.Errorf("got %v, %v; want %s", file, err, c.want)
			}
		})
	}
}

func TestPrintingASavedLoginShowsNoKey(t *testing.T) {
	for _, text := range []string{fmt.Sprint(someLogin), fmt.Sprintf("%v %+v %#v %s", someLogin, someLogin, someLogin, someLogin)} {
		if strings.Contains(text, someLogin.Key) {
			t.Error(text)
		}
	}
}
