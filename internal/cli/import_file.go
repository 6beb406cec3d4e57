package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	// The API's bounds for one call (contract, section 6). 64 bytes are left
	// for what stands around the keys.
	maxBatchKeys  = 10_000
	maxBatchBytes = 8<<20 - 64
	// maxPiped bounds what is held in memory of a pipe, which can't be read
	// twice. It is never written to a file: it holds secrets.
	maxPiped = 512 << 20
	// maxListed bounds how many faulty lines are named at once.
	maxListed = 20
)

var utf8BOM = []byte("\uFEFF")

// lines reads a JSONL file line by line, in bounded memory whatever the file.
type lines struct {
	r      *bufio.Reader
	number int    // of the line last read, from 1
	text   []byte // of that line; overwritten by the next
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// errLongLine is a line that no call can carry.
var errLongLine = fmt.Errorf("is longer than %d bytes", maxBatchBytes)

// next goes to the next line that is not empty, and returns io.EOF after the
// last. After errLongLine it can go on.
func (l *lines) next() error {
	for {
		err := l.read()
		if err != nil {
			return err
		}
		if len(l.text) > 0 {
			return nil
		}
	}
}

func (l *lines) read() error {
	l.number++
	l.text = l.text[:0]
	long, some := false, false
	for {
		part, err := l.r.ReadSlice('\n')
		some = some || len(part) > 0
		if long = long || len(l.text)+len(part) > maxBatchBytes; !long {
			l.text = append(l.text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && !some:
			return io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("reading line %d: %w", l.number, err)
		case long:
			l.text = l.text[:0]
			return errLongLine
		}
		break
	}
	if l.number == 1 {
		l.text = bytes.TrimPrefix(l.text, utf8BOM)
	}
	l.text = bytes.TrimSpace(l.text)
	return nil
}

// checkAll reads the whole file before anything is sent, and returns how many
// keys it holds, or an error that names the faulty lines.
func checkAll(r io.Reader) (int, error) {
	l, checker, faults, count := newLines(r), &lineChecker{}, &lineFaults{}, 0
	known := make(map[[16]byte]int) // half a digest tells secrets apart well enough, in half the memory
	for {
		err := l.next()
		switch {
		case errors.Is(err, io.EOF):
			return count, faults.err()
		case errors.Is(err, errLongLine):
			faults.add(l.number, err)
			continue
		case err != nil:
			return 0, err
		}
		count++
		digest, err := checker.check(l.text)
		if err != nil {
			faults.add(l.number, err)
			continue
		}
		if earlier, twice := known[digest]; twice {
			faults.add(l.number, fmt.Errorf("has the same secret as line %d", earlier))
			continue
		}
		known[digest] = l.number
	}
}

// lineFaults collects what is wrong, line by line.
type lineFaults struct {
	text strings.Builder
	n    int
}

func (f *lineFaults) add(number int, err error) {
	f.n++
	if f.n <= maxListed {
		fmt.Fprintf(&f.text, "\n  line %d: %s", number, printable(err.Error()))
	}
}

func (f *lineFaults) err() error {
	switch {
	case f.n == 0:
		return nil
	case f.n > maxListed:
		fmt.Fprintf(&f.text, "\n  and %d more", f.n-maxListed)
	}
	return fmt.Errorf("nothing was imported; faulty lines:%s", f.text.String())
}

// batch is what one call imports.
type batch struct {
	keys  []json.RawMessage
	lines []int // of each key
	bytes int
}

// batches calls send with the keys of the file, at most limit at a time, and
// not more than a call can carry.
func batches(r io.Reader, limit int, send func(*batch) error) error {
	l, b := newLines(r), &batch{}
	for {
		err := l.next()
		if errors.Is(err, io.EOF) {
			if len(b.keys) == 0 {
				return nil
			}
			return send(b)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", l.number, err)
		}
		if len(b.keys) == limit || b.bytes+len(l.text)+1 > maxBatchBytes {
			if err := send(b); err != nil {
				return err
			}
			b = &batch{}
		}
		b.keys = append(b.keys, bytes.Clone(l.text))
		b.lines = append(b.lines, l.number)
		b.bytes += len(l.text) + 1 // the comma
	}
}

// openImport opens a file, or standard input for "-", so that it can be read
// twice.
func (i *invocation) openImport(name string) (io.ReadSeeker, func() error, error) {
	if name == "-" {
		r, err := holdPipe(i.in)
		return r, func() error { return nil }, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("importing keys: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a folder, expected a file", name)
	case info.Mode().IsRegular():
		return f, f.Close, nil
	default: // a pipe, such as <(command)
		var r io.ReadSeeker
		if r, err = holdPipe(f); err == nil {
			return r, f.Close, nil
		}
	}
	return nil, nil, fmt.Errorf("importing keys: %w", errors.Join(err, f.Close()))
}

func holdPipe(r io.Reader) (io.ReadSeeker, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPiped+1))
	if err != nil {
		return nil, fmt.Errorf("reading the keys to import: %w", err)
	}
	if len(text) > maxPiped {
		return nil, fmt.Errorf("reading the keys to import: found more than %d MiB in a pipe; give a file instead", maxPiped>>20)
	}
	return bytes.NewReader(text), nil
}
