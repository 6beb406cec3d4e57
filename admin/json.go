package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
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
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	return readValue(decoder)
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

func readValue(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	switch token {
	case json.Delim('{'):
		return readObject(decoder)
	case json.Delim('['):
		return readArray(decoder)
	}
	return token, nil
}

func readObject(decoder *json.Decoder) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("reading JSON: %w", err)
		}
		name, _ := token.(string) // the syntax is checked: a name is a string
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("the member %q appears twice in one object", shorten(name, maxFieldName))
		}
		if object[name], err = readValue(decoder); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token() // the closing brace
	return object, err
}

func readArray(decoder *json.Decoder) (any, error) {
	array := []any{}
	for decoder.More() {
		value, err := readValue(decoder)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := decoder.Token() // the closing bracket
	return array, err
}

// shorten cuts text to at most limit characters, the mark of the cut included.
func shorten(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	runes := []rune(text)
	return string(runes[:limit-1]) + "…"
}
