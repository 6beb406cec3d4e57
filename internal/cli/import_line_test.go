package cli

import (
	"strings"
	"testing"
)

const (
	someSecret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
	someHash   = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

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
	f.Fuzz(func(t *testing.T, line []byte) {
		if checkLine(line) == nil && digestOf(line) == [16]byte{} {
			t.Errorf("%q passes without a secret", line)
		}
	})
}
