package sqlstore

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestCursorsComeBackAsTheyWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, math.MaxInt64).Draw(t, "n")
		list := rapid.SampledFrom([]byte{keyList, auditList}).Draw(t, "list")
		got, err := parseCursor(list, cursor(list, n))
		if err != nil || got != n {
			t.Fatalf("%d came back as %d, %v", n, got, err)
		}
	})
}

func TestNoCursorIsTheFirstPage(t *testing.T) {
	if n, err := parseCursor(keyList, ""); err != nil || n != math.MaxInt64 {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestACursorOfAnotherListIsRefused(t *testing.T) {
	if _, err := parseCursor(auditList, cursor(keyList, 7)); !errors.Is(err, keys.ErrBadCursor) {
		t.Fatalf("error %v", err)
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add(cursor(keyList, 1))
	f.Add(cursor(auditList, math.MaxInt64))
	f.Add("AAAAAAAAAAAAAAAAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseCursor(keyList, text)
		switch {
		case err != nil && !errors.Is(err, keys.ErrBadCursor):
			t.Fatalf("error %v", err)
		case err == nil && text != "" && cursor(keyList, n) != text:
			t.Fatalf("%q was taken for the cursor of %d", text, n)
		}
	})
}
