package admin

import (
	"strings"
	"testing"
	"time"
)

func TestPreferIsReadAsRFC7240Says(t *testing.T) {
	for _, c := range []struct {
		headers string // one a line
		want    time.Duration
	}{
		{"", 0},
		{"wait=2", 2 * time.Second},
		{"WAIT = 2", 2 * time.Second},
		{`wait="2"`, 2 * time.Second},
		{"respond-async, wait=10", 10 * time.Second},
		{"respond-async\nwait=10", 10 * time.Second},
		{"wait=10; foo=bar", 10 * time.Second},
		{"wait=3, wait=9", 3 * time.Second}, // the first one counts
		{"wait=3\nwait=9", 3 * time.Second},
		{"wait=30", 30 * time.Second},
		{"wait=31", 30 * time.Second},
		{"wait=99999999999999999999999999", 30 * time.Second},
		{"wait=007", 7 * time.Second},
		{"wait=0", 0},
		{"wait", 0},
		{"wait=", 0},
		{"wait=-1", 0},
		{"wait=+1", 0},
		{"wait=1.5", 0},
		{"wait=1s", 0},
		{"wait=soon", 0},
		{"waits=2", 0},
		{`foo="a, wait=2"`, 0},
		{`foo="a\", wait=2", wait=4`, 4 * time.Second},
		{`foo; bar="x;wait=2"; wait=3`, 0}, // a parameter of foo
		{`foo="unended, wait=2`, 0},
		{`"`, 0},
		{`\`, 0},
		{",,;;==", 0},
		{strings.Repeat("a,", 10_000) + "wait=2", 2 * time.Second},
	} {
		var headers []string
		if c.headers != "" {
			headers = strings.Split(c.headers, "\n")
		}
		if got := preferredWait(headers); got != c.want {
			t.Errorf("Prefer: %.60q waits %s, want %s", c.headers, got, c.want)
		}
	}
}

func FuzzPrefer(f *testing.F) {
	for _, seed := range []string{"wait=2", `a="b, wait=3";c, WAIT="4"`, `"\`, ",;=\x00", "wait=99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := preferredWait([]string{header}); got < 0 || got > maxWait || got%time.Second != 0 {
			t.Errorf("Prefer: %q waits %s", header, got)
		}
		// What stands before does not change what a list begins with.
		if got := preferredWait([]string{"wait=7", header}); got != 7*time.Second {
			t.Errorf("Prefer: wait=7, %q waits %s", header, got)
		}
	})
}
