package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// line returns the nth valid line of an import.
func line(n int) string {
	return fmt.Sprintf(`{"name":"key %d","permissions":{"mode":"read_only"},"secret":"legacy-secret-%08d"}`, n, n)
}

func TestBomCrlfEmptyLinesAndAMissingLastLineFeedAreFine(t *testing.T) {
	file := "\uFEFF" + line(1) + "\r\n\r\n  \t\n" + line(2) + "\n\n" + line(3)
	if n, err := checkAll(strings.NewReader(file)); n != 3 || err != nil {
		t.Fatalf("got %d, %v; want 3 keys", n, err)
	}
	var numbers []int
	err := batches(strings.NewReader(file), maxBatchKeys, func(b *batch) error {
		numbers = append(numbers, b.lines...)
		if string(b.keys[0]) != line(1) {
			t.Errorf("the first key is sent as %q", b.keys[0])
		}
		return nil
	})
	if err != nil || !slices.Equal(numbers, []int{1, 4, 6}) {
		t.Errorf("got lines %v, %v; want 1, 4, 6", numbers, err)
	}
}

func TestEveryFaultyLineIsNamedByItsNumber(t *testing.T) {
	file := line(1) + "\n\noops\n" + line(2) + "\n{}\n" + line(1) + "\n"
	_, err := checkAll(strings.NewReader(file))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"nothing was imported", "line 3: is not JSON", "line 5: permissions is missing", "line 6: has the same secret as line 1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
}

func TestSecretAndItsHashAreTheSameSecret(t *testing.T) {
	file := `{"permissions":{"mode":"all"},"secret":"test"}` + "\n" + `{"permissions":{"mode":"all"},"sha256":"` + strings.ToUpper(someHash) + `"}`
	if _, err := checkAll(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), "line 2: has the same secret as line 1") {
		t.Errorf("got %v", err)
	}
}

func TestALongListOfFaultsIsCut(t *testing.T) {
	_, err := checkAll(strings.NewReader(strings.Repeat("x\n", 1000)))
	if err == nil || !strings.Contains(err.Error(), "and 980 more") || strings.Contains(err.Error(), "line 21:") {
		t.Errorf("got %v", err)
	}
}

func TestALineThatNoCallCanCarryIsNamed(t *testing.T) {
	long := `{"permissions":{"mode":"all"},"secret":"` + strings.Repeat("a", maxBatchBytes) + `"}`
	_, err := checkAll(strings.NewReader(line(1) + "\n" + long + "\n" + line(2) + "\nx\n"))
	if err == nil || !strings.Contains(err.Error(), "line 2: is longer than") || !strings.Contains(err.Error(), "line 4: is not JSON") {
		t.Errorf("got %v", err)
	}
}

// endless is a line that never ends, of a given length all the same.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range n {
		p[i] = 'a'
	}
	e.left -= n
	return n, nil
}

func TestAHugeLineIsNotHeldInMemory(t *testing.T) {
	l := newLines(&endless{256 << 20})
	if err := l.next(); !errors.Is(err, errLongLine) {
		t.Fatalf("got %v", err)
	}
	if cap(l.text) > 4*maxBatchBytes {
		t.Errorf("%d bytes are held", cap(l.text))
	}
	if err := l.next(); !errors.Is(err, io.EOF) {
		t.Errorf("after it: %v", err)
	}
}

func TestReadErrorsNameTheLine(t *testing.T) {
	broken := iotest.ErrReader(errors.New("input/output error"))
	_, err := checkAll(io.MultiReader(strings.NewReader(line(1)+"\n{"), broken))
	if err == nil || !strings.Contains(err.Error(), "reading line 2: input/output error") {
		t.Errorf("got %v", err)
	}
}

func TestBatchesCarryEveryKeyOnceInOrderWithinTheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 3*maxBatchKeys).Draw(t, "keys")
		pad := rapid.SampledFrom([]int{0, 1000, 200_000}).Draw(t, "padding")
		if pad > 0 {
			n = min(n, 100)
		}
		var file bytes.Buffer
		for i := range n {
			fmt.Fprintf(&file, "{\"k\":%d,\"pad\":%q}\n", i, strings.Repeat("x", pad))
		}
		next := 0
		err := batches(&file, maxBatchKeys, func(b *batch) error {
			size := len(`{"keys":[]}`)
			for i, key := range b.keys {
				size += len(key) + 1
				if !bytes.HasPrefix(key, fmt.Appendf(nil, `{"k":%d,`, next)) || b.lines[i] != next+1 {
					t.Fatalf("key %d is %.20s of line %d", next, key, b.lines[i])
				}
				next++
			}
			if len(b.keys) == 0 || len(b.keys) > 10_000 || size > 8<<20 {
				t.Fatalf("a call of %d keys and %d bytes", len(b.keys), size)
			}
			return nil
		})
		if err != nil || next != n {
			t.Fatalf("sent %d of %d keys, %v", next, n, err)
		}
	})
}

func TestPipesAreReadOnceAndHeld(t *testing.T) {
	i := &invocation{in: strings.NewReader(line(1) + "\n")}
	r, closeFile, err := i.openImport("-")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := checkAll(r); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
	}
	if err := closeFile(); err != nil {
		t.Error(err)
	}
}

func TestFilesThatCannotBeImportedAreExplained(t *testing.T) {
	dir := t.TempDir()
	i := &invocation{}
	if _, _, err := i.openImport(dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
	if _, _, err := i.openImport(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("\uFEFFa\r\n\n b \n"))
	f.Add([]byte("\n\n\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		l := newLines(iotest.OneByteReader(bytes.NewReader(file)))
		before := 0
		for {
			err := l.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil || len(l.text) == 0 || l.number <= before || bytes.ContainsRune(l.text, '\n') {
				t.Fatalf("line %d after %d is %q, %v", l.number, before, l.text, err)
			}
			before = l.number
		}
	})
}
