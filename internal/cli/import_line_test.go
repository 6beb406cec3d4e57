package cli

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const (
	someSecret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
	someHash   = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

func checkLine(line []byte) error {
	_, err := new(lineChecker).check(line)
	return err
}

func TestImportLinesThatAreRight(t *testing.T) {
	for _, line := range []string{
		`{"permissions":{"mode":"all"},"secret":"` + someSecret + `"}`,
		`{"permissions":{"mode":"all"},"sha256":"` + someHash + `"}`,
		`{"permissions":{"mode":"all"},"sha256":"` + strings.ToUpper(someHash) + `"}`,
		`{"name":"ci","owner":"t","permissions":{"mode":"restricted","apis":{"a":{"access":"restricted","endpoints":{"e":"read"}}}},
		  "admin":"none","enabled":false,"expires_at":null,"metadata":{"a":"b"},"secret":"x1234567","prefix":"x12"}`,
		`{"permissions":{"mode":"all"},"secret":"é is the gateway's to judge","expires_at":"2030-01-31T12:00:00Z"}`,
	} {
		if err := checkLine([]byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestImportLinesThatAreWrong(t *testing.T) {
	for name, c := range map[string]struct{ line, says string }{
		"no JSON":            {`ci,all,` + someSecret, "is not JSON"},
		"half a line":        {`{"permissions":{"mode":"all"},"secret":"sk_li`, "is not JSON"},
		"two values":         {`{"permissions":{},"secret":"a"} {"permissions":{}}`, "is not JSON"},
		"an array":           {`[{"secret":"a"}]`, "is not a JSON object"},
		"a text":             {`"` + someSecret + `"`, "is not a JSON object"},
		"null":               {`null`, "is not a JSON object"},
		"no secret":          {`{"permissions":{"mode":"all"}}`, "secret or sha256 is missing"},
		"both":               {`{"permissions":{},"secret":"a","sha256":"` + someHash + `"}`, "are both given"},
		"empty secret":       {`{"permissions":{},"secret":""}`, "secret is not a text, or empty"},
		"secret null":        {`{"permissions":{},"secret":null}`, "secret is not a text, or empty"},
		"secret a number":    {`{"permissions":{},"secret":1234567890}`, "secret is not a text, or empty"},
		"short hash":         {`{"permissions":{},"sha256":"abcd"}`, "64 hexadecimal digits"},
		"hash not hex":       {`{"permissions":{},"sha256":"` + strings.Repeat("z", 64) + `"}`, "64 hexadecimal digits"},
		"base64 hash":        {`{"permissions":{},"sha256":"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="}`, "64 hexadecimal digits"},
		"no permissions":     {`{"secret":"a"}`, "permissions is missing"},
		"two faults":         {`{"name":"x"}`, "permissions is missing; secret or sha256 is missing"},
		"unknown field":      {`{"permissions":{},"secret":"a","expires":"x"}`, `unknown field "expires"`},
		"other letter case":  {`{"permissions":{},"Secret":"a"}`, `unknown field "Secret"; secret or sha256 is missing`},
		"field twice":        {`{"permissions":{},"secret":"a","secret":"b"}`, `"secret" appears twice`},
		"deep unknown field": {`{"permissions":{"modus":"all"},"secret":"a"}`, `unknown field "modus"`},
		"wrong type":         {`{"permissions":{},"secret":"a","name":7}`, "name is of the wrong type: found a JSON number"},
		"wrong type below":   {`{"permissions":{"mode":true},"secret":"a"}`, "permissions.mode is of the wrong type: found a JSON bool"},
		"time":               {`{"permissions":{},"secret":"a","expires_at":"tomorrow"}`, "expires_at is not a time of RFC 3339"},
		"not UTF-8":          {"{\"name\":\"caf\xe9\",\"permissions\":{},\"secret\":\"a\"}", "is not valid UTF-8"},
		"UTF-16":             {"\xff\xfe{\x00}\x00", "is UTF-16, expected UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkLine([]byte(c.line))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// What was found right once is not looked at again: it must not let pass what
// only resembles it.
func TestALineIsCheckedWhateverCameBeforeIt(t *testing.T) {
	c := &lineChecker{}
	for _, step := range []struct {
		line  string
		right bool
	}{
		{`{"permissions":{"mode":"all"},"secret":"a"}`, true},
		{`{"permissions":{"mode":"all"},"secret":"b","name":7}`, false},
		{`{"permissions":{"modus":"all"},"secret":"c"}`, false},
		{`{"permissions":{"modus":"all"},"secret":"c"}`, false},
		{`{"permissions":{"mode":"all"},"secret":"d","metadata":{"a":1}}`, false},
		{`{"permissions":{"mode":"all"},"secret":"d","expires_at":"soon"}`, false},
		{`{"permissions":{"mode":"all"},"secret":"d","allowed_cidrs":"10.0.0.0/8"}`, false},
		{`{"permissions":{"mode":"all"},"secret":"d","enabled":"yes"}`, false},
		{`{"permissions":{"mode":"all"},"secret":"d","metadata":{"a":"b"},"allowed_cidrs":["10.0.0.0/8"],"expires_at":null,"enabled":true}`, true},
	} {
		if _, err := c.check([]byte(step.line)); (err == nil) != step.right {
			t.Errorf("%s: %v", step.line, err)
		}
	}
}

// A secret is the same however its line writes it.
func TestTheSameSecretHasTheSameDigest(t *testing.T) {
	sum := sha256.Sum256([]byte("sk_é/1"))
	for _, secret := range []string{`"secret":"sk_é/1"`, `"secret":"sk_\u00e9\/1"`, fmt.Sprintf(`"sha256":"%x"`, sum), fmt.Sprintf(`"sha256":"%X"`, sum)} {
		half, err := new(lineChecker).check([]byte(`{"permissions":{"mode":"all"},` + secret + `}`))
		if err != nil || half != [16]byte(sum[:]) {
			t.Errorf("%s: %x, %v", secret, half, err)
		}
	}
}

// A line's fault is printed, and kept in logs of jobs: it must not quote what
// may be a secret.
func TestFaultsOfImportLinesQuoteNoSecret(t *testing.T) {
	for _, line := range []string{
		`{"permissions":{},"secret":` + someSecret + `}`,
		`{"permissions":{},"sha256":"` + someSecret + `"}`,
		`{"permissions":{},"secret":"a","expires_at":"` + someSecret + `"}`,
		`{"permissions":"` + someSecret + `","secret":"a"}`,
		`{"permissions":{},"secret":"a","name":["` + someSecret + `"]}`,
		someSecret,
	} {
		err := checkLine([]byte(line))
		if err == nil || strings.Contains(err.Error(), someSecret[:12]) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func FuzzCheckLine(f *testing.F) {
	f.Add([]byte(`{"permissions":{"mode":"all"},"secret":"` + someSecret + `"}`))
	f.Add([]byte(`{"permissions":{},"sha256":"` + someHash + `","expires_at":"2030-01-31T12:00:00Z"}`))
	f.Add([]byte("\xff\xfe{"))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`{"permissions":{},"sha256":"` + strings.Repeat("0", 64) + `"}`)) // the hash of nothing known
	f.Add([]byte(`{"permissions":{"mode":"all"},"secret":"\ud800","name":null,"metadata":{"a":"b"},"allowed_cidrs":[]}`))
	known := &lineChecker{}
	f.Fuzz(func(t *testing.T, line []byte) {
		half, err := new(lineChecker).check(line)
		var has struct{ Secret, SHA256 string }
		if err == nil && (json.Unmarshal(line, &has) != nil || has.Secret+has.SHA256 == "") {
			t.Errorf("%q passes without a secret", line)
		}
		if again, faulty := known.check(line); half != again || (err == nil) != (faulty == nil) {
			t.Errorf("%q: %v, and of a checker that has seen more lines: %v", line, err, faulty)
		}
		if err == nil && checkTypes(line) != nil {
			t.Errorf("%q passes, and is of a wrong type: %v", line, checkTypes(line))
		}
	})
}
