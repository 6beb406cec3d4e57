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
// letter case, nothing after the value. It keeps depth levels of it; what lies
// deeper is checked and dropped, so that a large body costs little memory.
//
// It is jsontext rather than encoding/json, which takes the last of repeated
// names and replaces invalid UTF-8.
func parseJSON(body []byte, depth int) (jsonValue, error) {
	in := jsontext.NewDecoder(bytes.NewBuffer(body))
	v, err := readJSON(in, depth)
	if err != nil {
		return v, err
	}
	if _, err := in.ReadToken(); !errors.Is(err, io.EOF) {
		return v, unreadable("the JSON goes on after its first value")
	}
	return v, nil
}

func readJSON(in *jsontext.Decoder, depth int) (jsonValue, error) {
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
		err = v.readItems(in, depth-1)
	case '{':
		err = v.readFields(in, depth-1)
	}
	return v, err
}

func (v *jsonValue) readItems(in *jsontext.Decoder, depth int) error {
	for in.PeekKind() != ']' {
		item, err := readJSON(in, depth)
		if err != nil {
			return err
		}
		if depth > 0 {
			v.items = append(v.items, item)
		}
	}
	return endJSON(in)
}

func (v *jsonValue) readFields(in *jsontext.Decoder, depth int) error {
	var seen map[string]bool
	for in.PeekKind() != '}' {
		token, err := in.ReadToken()
		if err != nil {
			return jsonFault(err)
		}
		name := token.String()
		folded := string(appendFold(nil, name))
		switch {
		case seen[folded]:
			return unreadable("the JSON has an object with the name %q twice, in the same or another letter case", clip(name))
		case strings.Contains(name, "\x00"):
			return unreadable("the JSON has a name with a NUL in it")
		case seen == nil:
			seen = make(map[string]bool)
		}
		seen[folded] = true
		value, err := readJSON(in, depth)
		if err != nil {
			return err
		}
		if depth > 0 {
			v.fields = append(v.fields, jsonField{name, value})
		}
	}
	return endJSON(in)
}

// endJSON reads the closing bracket that PeekKind saw.
func endJSON(in *jsontext.Decoder) error {
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
