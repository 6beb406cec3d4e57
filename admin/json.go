package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// readJSON reads one JSON value as maps, slices, strings, json.Number, bool
// and nil. It refuses what two parsers could read differently: invalid UTF-8,
// a byte order mark, members that repeat, and anything after the value.
// encoding/json alone takes the last of two equal members and matches names
// in any letter case, which is why bodies are not decoded into structs.
func readJSON(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not valid UTF-8")
	}
	if bytes.HasPrefix(body, []byte("\uFEFF")) {
		return nil, errors.New("the body begins with a byte order mark; leave it out")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errors.New("the body is empty; expected a JSON object")
	}
	// The whole syntax at once, nesting (at most 10 000) included: what the
	// tokens are read from below is known to be one complete value.
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, describeSyntax(body, err)
	}
	// jsontext, as an import has megabytes: encoding/json takes three times as
	// long for its tokens. Escapes of half a character become U+FFFD in both.
	return readValue(jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)))
}

// describeSyntax says where the fault is, and quotes nothing of the body but
// the character that encoding/json names: a body may hold a secret.
func describeSyntax(body []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	before := body[:min(max(int(syntax.Offset)-1, 0), len(body))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Errorf("the body is not JSON: line %d, column %d: %w", line, column, syntax)
}

// errToken does not repeat what jsontext says, which quotes names of members.
var errToken = errors.New("the body is not JSON")

func readValue(decoder *jsontext.Decoder) (any, error) {
	token, err := decoder.ReadToken()
	if err != nil {
		return nil, errToken
	}
	switch token.Kind() {
	case jsontext.KindBeginObject:
		return readObject(decoder)
	case jsontext.KindBeginArray:
		return readArray(decoder)
	case jsontext.KindString:
		return token.String(), nil
	case jsontext.KindNumber:
		return json.Number(token.String()), nil
	case jsontext.KindTrue, jsontext.KindFalse:
		return token.Bool(), nil
	}
	return nil, nil // null
}

func readObject(decoder *jsontext.Decoder) (any, error) {
	object := map[string]any{}
	for decoder.PeekKind() != jsontext.KindEndObject {
		token, err := decoder.ReadToken()
		if err != nil {
			return nil, errToken
		}
		name := token.String()
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("the member %q appears twice in one object", shorten(name, maxFieldName))
		}
		if object[name], err = readValue(decoder); err != nil {
			return nil, err
		}
	}
	if _, err := decoder.ReadToken(); err != nil { // the closing brace
		return nil, errToken
	}
	return object, nil
}

func readArray(decoder *jsontext.Decoder) (any, error) {
	array := []any{}
	for decoder.PeekKind() != jsontext.KindEndArray {
		value, err := readValue(decoder)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	if _, err := decoder.ReadToken(); err != nil { // the closing bracket
		return nil, errToken
	}
	return array, nil
}

// shorten cuts text to at most limit characters, the mark of the cut included.
func shorten(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	runes := []rune(text)
	return string(runes[:limit-1]) + "…"
}
