package admin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxFaults bounds an answer: 256 KiB of unknown fields would else come
	// back as megabytes.
	maxFaults = 1000
	// maxFieldName bounds how much of a field's name is told back.
	maxFieldName = 200
)

// faults collects everything that is wrong with a request, one message a
// field, so that a caller can mend it in one go. Messages never quote values:
// a value may be a secret.
type faults struct {
	byField map[string]string
	more    int // faults beyond maxFaults
}

// add notes a fault of a field, unless one is noted already.
func (f *faults) add(field, message string) {
	field = shorten(field, maxFieldName)
	if _, known := f.byField[field]; known {
		return
	}
	if len(f.byField) == maxFaults {
		f.more++
		return
	}
	if f.byField == nil {
		f.byField = map[string]string{}
	}
	f.byField[field] = message
}

func (f *faults) addf(field, format string, args ...any) {
	f.add(field, fmt.Sprintf(format, args...))
}

// any reports whether there is a fault.
func (f *faults) any() bool { return len(f.byField) > 0 }

// err returns the faults as the answer 422, or nil.
func (f *faults) err() error {
	if !f.any() {
		return nil
	}
	return &invalidError{f}
}

// list returns the faults sorted by field, so that answers are the same for
// the same request.
func (f *faults) list() []FieldError {
	out := make([]FieldError, 0, len(f.byField))
	for field, message := range f.byField {
		out = append(out, FieldError{Field: field, Message: message})
	}
	slices.SortFunc(out, func(a, b FieldError) int { return strings.Compare(inOrder(a.Field), inOrder(b.Field)) })
	return out
}

var index = regexp.MustCompile(`\[(\d+)\]`)

// inOrder makes keys[2] come before keys[10].
func inOrder(field string) string {
	return index.ReplaceAllStringFunc(field, func(n string) string { return fmt.Sprintf("%08s", n) })
}

// invalidError is a request that was understood, and is wrong (422).
type invalidError struct{ faults *faults }

// Error says how much is wrong, and what first.
func (e *invalidError) Error() string {
	list := e.faults.list()
	first := list[0].Message
	if list[0].Field != "" {
		first = list[0].Field + ": " + first
	}
	switch n := len(list) + e.faults.more; {
	case n == 1:
		return first
	case e.faults.more > 0:
		return fmt.Sprintf("%s; and %d more faults, of which the first %d are listed", first, n-1, len(list))
	default:
		return fmt.Sprintf("%s; and %d more", first, n-1)
	}
}

// join makes the path of a member.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// at makes the path of an element.
func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
