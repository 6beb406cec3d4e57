package cli

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caddy-keywarden/keywarden/admin"
)

// importNames are the members of a key to be imported.
var importNames = []string{"name", "owner", "permissions", "admin", "enabled", "expires_at", "metadata", "allowed_cidrs", "secret", "sha256", "prefix"}

// checkLine says what is wrong with a key to be imported, as far as that can
// be known without the gateway; nil for nothing. The faults quote no values: a
// value may be a secret.
func checkLine(line []byte) error {
	if !utf8.Valid(line) {
		if bytes.HasPrefix(line, []byte{0xff, 0xfe}) || bytes.HasPrefix(line, []byte{0xfe, 0xff}) {
			return errors.New("is UTF-16, expected UTF-8")
		}
		return errors.New("is not valid UTF-8")
	}
	members, err := readMembers(line)
	if err != nil {
		return err
	}
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(importNames, name) {
			faults = append(faults, fmt.Sprintf("unknown field %q", name))
		}
	}
	if _, ok := members["permissions"]; !ok {
		faults = append(faults, "permissions is missing")
	}
	faults = append(faults, secretFaults(members)...)
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "; "))
	}
	return checkTypes(line)
}

// readMembers returns the members of the one JSON object that line is.
func readMembers(line []byte) (map[string]json.RawMessage, error) {
	var whole json.RawMessage
	if err := json.Unmarshal(line, &whole); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("is not JSON: column %d: %w", syntax.Offset, err)
		}
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	members := make(map[string]json.RawMessage)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		text, _ := name.(string) // the syntax is checked: a name is a string
		if _, twice := members[text]; twice {
			return nil, fmt.Errorf("the field %q appears twice", text)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		members[text] = value
	}
	return members, nil
}

func secretFaults(members map[string]json.RawMessage) []string {
	_, secret := members["secret"]
	digest, sha256 := members["sha256"]
	switch {
	case secret && sha256:
		return []string{"secret and sha256 are both given; expected one of them"}
	case !secret && !sha256:
		return []string{"secret or sha256 is missing"}
	}
	var text string
	if sha256 {
		if sum, err := unquote(digest, &text); err != nil || len(sum) != 32 {
			return []string{"sha256 is not 64 hexadecimal digits"}
		}
		return nil
	}
	if json.Unmarshal(members["secret"], &text) != nil || text == "" {
		return []string{"secret is not a text, or empty"}
	}
	return nil
}

func unquote(digest json.RawMessage, text *string) ([]byte, error) {
	if err := json.Unmarshal(digest, text); err != nil {
		return nil, fmt.Errorf("reading sha256: %w", err)
	}
	return hex.DecodeString(*text)
}

// checkTypes holds a line against the type that the API reads.
func checkTypes(line []byte) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	err := d.Decode(new(admin.ImportKey))
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("%s is of the wrong type: found a JSON %s", strings.TrimPrefix(wrong.Field, "CreateRequest."), firstWord(wrong.Value))
	case err != nil && strings.Contains(err.Error(), "unknown field"):
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	case err != nil: // of a time: its error quotes the value
		return errors.New("expires_at is not a time of RFC 3339, such as \"2030-01-31T12:00:00Z\"")
	}
	return nil
}

// firstWord leaves out what encoding/json quotes of a number.
func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}
