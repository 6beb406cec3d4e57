package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-keywarden/keywarden/admin"
)

// importNames are the members of a key to be imported.
var importNames = []string{"name", "owner", "permissions", "admin", "enabled", "expires_at", "metadata", "allowed_cidrs", "secret", "sha256", "prefix"}

// lineChecker says what is wrong with keys to be imported, as far as that can be
// known without the gateway. The faults quote no values: a value may be a secret.
//
// What most lines are is found right at little cost, since there may be
// millions; encoding/json looks at the others, and says what is wrong.
type lineChecker struct {
	decoder jsontext.Decoder
	members []member // of the line that is checked
	// right are texts of permissions that are of the right types: most keys have
	// the same few.
	right map[string]bool
}

// member is one of a line's JSON object.
type member struct {
	name  string
	value []byte
}

// mostRight bounds how many permissions are remembered, and rightText how long
// they are.
const (
	mostRight = 1000
	rightText = 4096
)

// check returns half the digest of a line's secret, or what is wrong with it.
func (c *lineChecker) check(line []byte) (half [16]byte, err error) {
	if !utf8.Valid(line) {
		if bytes.HasPrefix(line, []byte{0xff, 0xfe}) || bytes.HasPrefix(line, []byte{0xfe, 0xff}) {
			return half, errors.New("is UTF-16, expected UTF-8")
		}
		return half, errors.New("is not valid UTF-8")
	}
	if err := c.readMembers(line); err != nil {
		return half, err
	}
	var faults []string
	for _, m := range c.members {
		if !slices.Contains(importNames, m.name) {
			faults = append(faults, fmt.Sprintf("unknown field %q", m.name))
		}
	}
	slices.Sort(faults)
	if c.member("permissions") == nil {
		faults = append(faults, "permissions is missing")
	}
	half, fault := c.digest()
	if fault != "" {
		faults = append(faults, fault)
	}
	if len(faults) > 0 {
		return half, errors.New(strings.Join(faults, "; "))
	}
	return half, c.checkTypes(line)
}

// readMembers reads the members of the one JSON object that line is.
func (c *lineChecker) readMembers(line []byte) error {
	c.members = c.members[:0]
	if !json.Valid(line) {
		return syntaxFault(line)
	}
	c.decoder.Reset(bytes.NewBuffer(line), jsontext.AllowInvalidUTF8(true)) // half a character, as an escape
	if token, err := c.decoder.ReadToken(); err != nil || token.Kind() != jsontext.KindBeginObject {
		return errors.New("is not a JSON object")
	}
	for c.decoder.PeekKind() != jsontext.KindEndObject {
		token, err := c.decoder.ReadToken()
		if err != nil {
			return memberFault(err)
		}
		m := member{name: token.String()}
		value, err := c.decoder.ReadValue()
		if err != nil {
			return memberFault(err)
		}
		end := c.decoder.InputOffset()
		m.value = line[end-int64(len(value)) : end] // the decoder's own is gone with the next
		c.members = append(c.members, m)
	}
	return nil
}

func syntaxFault(line []byte) error {
	var whole json.RawMessage
	err := json.Unmarshal(line, &whole)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("is not JSON: column %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("is not JSON: %w", err)
}

// memberFault says which field appears twice: else the syntax is right.
func memberFault(err error) error {
	var at *jsontext.SyntacticError
	if errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &at) {
		return fmt.Errorf("the field %q appears twice", at.JSONPointer.LastToken())
	}
	return errors.New("is not JSON")
}

// member returns the value of a member, nil if there is none.
func (c *lineChecker) member(name string) []byte {
	for i := range c.members {
		if c.members[i].name == name {
			return c.members[i].value
		}
	}
	return nil
}

// digest returns half the digest of the secret, or says what is wrong with it.
func (c *lineChecker) digest() (half [16]byte, fault string) {
	secret, digest := c.member("secret"), c.member("sha256")
	switch {
	case secret != nil && digest != nil:
		return half, "secret and sha256 are both given; expected one of them"
	case secret == nil && digest == nil:
		return half, "secret or sha256 is missing"
	case digest != nil:
		sum, err := hex.DecodeString(unquoted(digest))
		if err != nil || len(sum) != sha256.Size {
			return half, "sha256 is not 64 hexadecimal digits"
		}
		return [16]byte(sum), ""
	}
	text := unquoted(secret)
	if text == "" {
		return half, "secret is not a text, or empty"
	}
	sum := sha256.Sum256([]byte(text))
	return [16]byte(sum[:]), ""
}

// unquoted returns the text that a JSON value is, "" if it is none.
func unquoted(value []byte) (text string) {
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// checkTypes holds a line against the type that the API reads.
func (c *lineChecker) checkTypes(line []byte) error {
	for i := range c.members {
		if c.isRight(&c.members[i]) {
			continue
		}
		if err := checkTypes(line); err != nil {
			return err
		}
		if permissions := c.member("permissions"); len(c.right) < mostRight && len(permissions) <= rightText {
			if c.right == nil {
				c.right = map[string]bool{}
			}
			c.right[string(permissions)] = true
		}
		return nil
	}
	return nil
}

// isRight reports whether a member is of the right type, as far as that is seen
// at once.
func (c *lineChecker) isRight(m *member) bool {
	switch m.name {
	case "permissions":
		return c.right[string(m.value)]
	case "enabled":
		return m.value[0] == 't' || m.value[0] == 'f'
	case "expires_at":
		return json.Unmarshal(m.value, new(*time.Time)) == nil
	case "metadata":
		return json.Unmarshal(m.value, new(map[string]string)) == nil
	case "allowed_cidrs":
		return json.Unmarshal(m.value, new([]string)) == nil
	}
	return m.value[0] == '"'
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
