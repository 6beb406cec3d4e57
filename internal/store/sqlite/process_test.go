package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Tests that need other processes start this test binary again, with what it
// shall do in the environment.
const (
	roleVariable = "KEYWARDEN_SQLITE_TEST_ROLE"
	pathVariable = "KEYWARDEN_SQLITE_TEST_PATH"
)

var roles = map[string]func(path string) error{
	"write": writeForEver,
	"open":  openOnce,
	"race":  raceForFirstAdmin,
}

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(roleVariable)]
	if !ok {
		code := m.Run()
		if millionFolder != "" {
			if err := os.RemoveAll(millionFolder); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		os.Exit(code)
	}
	if err := role(os.Getenv(pathVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// process is a second process on the same database.
type process struct {
	*exec.Cmd
	lines *bufio.Scanner
}

func startProcess(t testing.TB, role, path string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, pathVariable+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{cmd, bufio.NewScanner(out)}
}

// say prints a line at once: what was acknowledged.
func say(words ...any) {
	_, _ = fmt.Fprintln(os.Stdout, words...) // nobody is left to tell
}

func testKey(name string) keys.New {
	now := time.Now()
	id := keys.NewID()
	secret, err := keys.NewSecret("kw", nil)
	if err != nil {
		panic(err)
	}
	return keys.New{Digest: secret.Digest(), Key: keys.Key{
		ID: id, Name: name, Prefix: secret.Prefix(), Permissions: permission.Set{Mode: permission.All},
		Enabled: true, CreatedAt: now, UpdatedAt: now, CreatedBy: "test",
	}}
}

// writeForEver changes the database in every way that there is and prints a
// line for each change once it is acknowledged.
func writeForEver(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, path, keys.Options{})
	if err != nil {
		return err
	}
	by := func() keys.By { return keys.By{Actor: "test", At: time.Now()} }
	for i := 0; ; i++ {
		k, gone := testKey(fmt.Sprint("key ", i)), testKey("to be deleted")
		if err := s.Create(ctx, by(), "create", []keys.New{k, gone}); err != nil {
			return err
		}
		say("created", k.Key.ID)
		if err := s.Delete(ctx, by(), gone.Key.ID, keys.Guard{}); err != nil {
			return err
		}
		say("deleted", gone.Key.ID)
		_, err := s.Update(ctx, by(), k.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Enabled = false; return nil })
		if err != nil {
			return err
		}
		say("disabled", k.Key.ID)
		if _, err := s.Rotate(ctx, by(), k.Key.ID, keys.Guard{}, testKey("").Digest, "kw_rotated", time.Now().Add(time.Hour)); err != nil {
			return err
		}
		say("rotated", k.Key.ID)
	}
}

// openOnce opens the database, makes one change and ends.
func openOnce(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, path, keys.Options{})
	if err != nil {
		return err
	}
	k := testKey("opened")
	if err := s.Create(ctx, keys.By{Actor: "test", At: time.Now()}, "create", []keys.New{k}); err != nil {
		return errors.Join(err, s.Close())
	}
	say("created", k.Key.ID)
	return s.Close()
}

// raceForFirstAdmin is what every node does when it starts.
func raceForFirstAdmin(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, path, keys.Options{})
	if err != nil {
		return err
	}
	k := testKey("bootstrap")
	k.Key.Admin = permission.Write
	done, err := s.CreateFirstAdmin(ctx, keys.By{Actor: "bootstrap", At: time.Now()}, k)
	if done {
		say("created", k.Key.ID)
	}
	return errors.Join(err, s.Close())
}
