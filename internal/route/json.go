package route

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxJSONDepth bounds how deep a body may nest: no API's variables do so
// deeper, and many a parser overflows its stack where it is not bounded.
const maxJSONDepth = 128

// levels says how many levels of a member are kept, of those that may be. It
// keeps a large body from costing much memory: most of one is in members that
// no classification looks into.
type levels func(name string, atMost int) int

// graphQLLevels keeps what decides about a GraphQL request; of all else, its
// variables for one, it keeps only what they are.
func graphQLLevels(name string, atMost int) int {
	switch name {
	case "query", "operationName":
		return min(atMost, 1)
	case "extensions", "persistedQuery", "sha256Hash":
		return atMost
	}
	return 0
}

// jsonValue is a parsed value, as far as a classification looks at it.
type jsonValue struct {
	kind   jsontext.Kind // '{' '[' '"' '0' 't' 'f' 'n'; 0: absent
	text   string        // of a string
	fields []jsonField   // of an object
	items  []jsonValue   // of an array
}

type jsonField struct {
	name  string
	value jsonValue
}

// get returns the field of that name, or an absent value.
func (v *jsonValue) get(name string) jsonValue {
	for i := range v.fields {
		if v.fields[i].name == name {
			return v.fields[i].value
		}
	}
	return jsonValue{}
}

// absent reports whether v is missing or null, which is the same to every
// parser of the formats at hand.
func (v *jsonValue) absent() bool { return v.kind == 0 || v.kind == 'n' }

// parseJSON reads exactly one JSON value that every parser reads alike: valid
// UTF-8 without a byte order mark, no name twice in an object even in another
// letter case, nothing after the value. It keeps depth levels of it, and of
// members as many as keep says; what lies deeper is checked and dropped.
//
// It is jsontext rather than encoding/json, which takes the last of repeated
// names and replaces invalid UTF-8.
func parseJSON(body []byte, depth int, keep levels) (jsonValue, error) {
	in := jsonReader{Decoder: jsontext.NewDecoder(bytes.NewBuffer(body)), keep: keep}
	v, err := in.value(depth)
	if err != nil {
		return v, err
	}
	if _, err := in.ReadToken(); !errors.Is(err, io.EOF) {
		return v, unreadable("the JSON goes on after its first value")
	}
	return v, nil
}

// allLevels keeps all that may be kept.
func allLevels(_ string, atMost int) int { return atMost }

// jsonReader reads values, and remembers the names of the objects that it is
// in.
type jsonReader struct {
	*jsontext.Decoder
	keep  levels
	names nameStack
	name  []byte // the last name read, decoded
}

func (in *jsonReader) value(depth int) (jsonValue, error) {
	token, err := in.ReadToken()
	if err != nil {
		return jsonValue{}, jsonFault(err)
	}
	if in.StackDepth() > maxJSONDepth {
		return jsonValue{}, unreadable("the JSON nests deeper than %d levels", maxJSONDepth)
	}
	v := jsonValue{kind: token.Kind()}
	switch v.kind {
	case '"':
		if depth > 0 {
			v.text = token.String()
		}
	case '[':
		err = in.items(&v, depth-1)
	case '{':
		err = in.fields(&v, depth-1)
	}
	return v, err
}

func (in *jsonReader) items(v *jsonValue, depth int) error {
	for in.PeekKind() != ']' {
		item, err := in.value(depth)
		if err != nil {
			return err
		}
		if depth > 0 {
			v.items = append(v.items, item)
		}
	}
	return in.end()
}

func (in *jsonReader) fields(v *jsonValue, depth int) error {
	in.names.open()
	defer in.names.close()
	for in.PeekKind() != '}' {
		if err := in.readName(); err != nil {
			return err
		}
		name := ""
		if depth > 0 {
			name = string(in.name)
		}
		kept := 0
		if depth > 0 {
			kept = in.keep(name, depth)
		}
		value, err := in.value(kept)
		if err != nil {
			return err
		}
		if depth > 0 {
			v.fields = append(v.fields, jsonField{name, value})
		}
	}
	return in.end()
}

func (in *jsonReader) readName() error {
	raw, err := in.ReadValue()
	if err != nil {
		return jsonFault(err)
	}
	if in.name, err = jsontext.AppendUnquote(in.name[:0], raw); err != nil {
		return jsonFault(err)
	}
	switch {
	case bytes.IndexByte(in.name, 0) >= 0:
		return unreadable("the JSON has a name with a NUL in it")
	case !in.names.add(in.name):
		return unreadable("the JSON has an object with the name %q twice, in the same or another letter case", clip(string(in.name)))
	}
	return nil
}

// end reads the closing bracket that PeekKind saw.
func (in *jsonReader) end() error {
	if _, err := in.ReadToken(); err != nil {
		return jsonFault(err)
	}
	return nil
}

// jsonFault puts a syntax error in words. The decoder's own words are not
// passed on: they quote the body.
func jsonFault(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return unreadable("the JSON has an object with the same name twice")
	}
	if errors.Is(err, io.EOF) {
		return unreadable("the body is empty: expected JSON")
	}
	return unreadable("the body is not valid JSON (RFC 8259, UTF-8)")
}

// onlyExact refuses names that differ from an expected one in letter case
// only: parsers that ignore letter case (Go's encoding/json) take them for it.
func (v *jsonValue) onlyExact(names ...string) error {
	for i := range v.fields {
		for _, name := range names {
			if got := v.fields[i].name; got != name && equalFold(got, name) {
				return unreadable("the JSON has the name %q, expected %q", clip(got), name)
			}
		}
	}
	return nil
}

// clip shortens what a caller sent, for a message to that caller.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
