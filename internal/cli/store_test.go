package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// copies returns a shell in which copying does what do does.
func copies(t *testing.T, do func(from, to string, report CopyReport) error) *console {
	c := newConsole(t)
	c.options.CopyStore = func(_ context.Context, from, to string, report CopyReport) error { return do(from, to, report) }
	return c
}

func TestCopyNamesStoresByArgumentsAndEnvironment(t *testing.T) {
	for given, want := range map[string]string{
		"sqlite:a.db sqlite:b.db":        "sqlite:a.db sqlite:b.db",
		"sqlite:a.db env:URL":            "sqlite:a.db postgres://u:hunter2@h/d",
		"env:URL sqlite:b.db":            "postgres://u:hunter2@h/d sqlite:b.db",
		"postgres://u@h/d sqlite:env:db": "postgres://u@h/d sqlite:env:db",
	} {
		var got string
		c := copies(t, func(from, to string, _ CopyReport) error { got = from + " " + to; return nil })
		c.env["URL"] = " postgres://u:hunter2@h/d\n"
		r := c.ok(append([]string{"store", "copy"}, strings.Fields(given)...)...)
		if got != want {
			t.Errorf("%s: copied %s, want %s", given, got, want)
		}
		if r.out != "" || strings.Contains(r.err, "hunter2") || !strings.Contains(r.err, "Done") {
			t.Errorf("%s: said %q and %q", given, r.out, r.err)
		}
	}
}

func TestCopyTellsHowFarItIs(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := copies(t, func(_, _ string, report CopyReport) error {
		report.Note("these run: \x1b[31mweb-1")
		for _, checking := range []bool{false, true} {
			for done := int64(0); done <= 10_000; done += 1000 {
				report.Progress("keys", checking, done, 10_000)
				now = now.Add(500 * time.Millisecond)
			}
			report.Progress("endpoints", checking, 0, 0)
		}
		return nil
	})
	c.options.Now = func() time.Time { return now }
	want := `Note: these run: \u001b[31mweb-1.
Copying keys: 4000 of 10000 (40 %)
Copying keys: 8000 of 10000 (80 %)
Copied 10000 keys.
Copied 0 endpoints.
Checking keys: 4000 of 10000 (40 %)
Checking keys: 8000 of 10000 (80 %)
Checked 10000 keys.
Checked 0 endpoints.
Done: the copy was checked, and holds all.
`
	if r := c.ok("store", "copy", "sqlite:a", "sqlite:b"); r.err != want {
		t.Errorf("said\n%s\nwant\n%s", r.err, want)
	}
}

func TestCopyNeverRepeatsAPassword(t *testing.T) {
	for _, address := range []string{
		"postgres://u:hunter2@h:99/d", "postgresql://u:hunter%32@h,h2/d?sslmode=require", "postgres://:hunter2@h", "postgres://h/d?user=u&password=hunter2&x=y",
		"host=h password=hunter2", "password = 'hunter2' host=h", "postgres://u:hunter2@b%zz/", "postgres://u:a@hunter2@h/d",
	} {
		c := copies(t, func(from, to string, _ CopyReport) error {
			return fmt.Errorf("parsing %s: connecting to %s with hunter2, a@hunter2 or hunter%%32", from, to)
		})
		c.env["URL"] = address
		for _, args := range [][]string{{"sqlite:path.db", "env:URL"}, {"env:URL", "sqlite:path.db"}, {"sqlite:path.db", address}} {
			r := c.run("store", "copy", args[0], args[1])
			if r.status != 1 || !strings.Contains(r.err, "path.db") || strings.Contains(r.err, address) || strings.Contains(r.err, password(address)) {
				t.Errorf("%v: status %d, %q", args, r.status, r.err)
			}
			if warned := strings.Contains(r.err, "other users can read"); warned != (args[1] == address) {
				t.Errorf("%v: warned: %v", args, warned)
			}
		}
	}
	for _, address := range []string{"sqlite:./a:b@c.db", "postgres://u@h:5432/d", "postgres://h/d?sslmode=require", "host=h user=u", "x"} {
		if got := password(address); got != "" {
			t.Errorf("%s has the password %q", address, got)
		}
	}
}

func TestCopyIsRefusedWithReasons(t *testing.T) {
	c := copies(t, func(string, string, CopyReport) error { return errors.New("the target is not empty") })
	c.fails(1, "Error: the target is not empty", "store", "copy", "sqlite:a", "sqlite:b")
	c.fails(2, "TO is missing", "store", "copy", "sqlite:a")
	c.fails(2, "one more", "store", "copy", "a", "b", "c")
	c.fails(2, "FROM: the environment variable NOPE is not set", "store", "copy", "env:NOPE", "sqlite:b")
	c.fails(2, "TO: the environment variable NOPE is not set", "store", "copy", "sqlite:b", "env:NOPE")
	c.fails(2, "TO is empty", "store", "copy", "sqlite:b", "")
	c.fails(2, `unknown command "move"`, "store", "move")
	c.fails(2, "unknown flag: --force", "store", "copy", "a", "b", "--force")
	newConsole(t).fails(1, "this build can't open stores", "store", "copy", "sqlite:a", "sqlite:b")
	if r := c.ok("store"); !strings.Contains(r.out, "copy") {
		t.Errorf("said %q", r.out)
	}
}
