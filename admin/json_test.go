package admin

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// What is read is what encoding/json reads, where that is not ambiguous.
func TestJSONIsReadAsTheStandardLibraryDoes(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":[`, n) + strings.Repeat(`]}`, n) }
	for _, text := range []string{
		`{}`, `[]`, `null`, ` { "a" : [ 1 , -2.50e+3 , 123456789012345678901234567890 ] , "b" : { } } `, `"x"`, `7`, `true`,
		`{"a":true,"b":false,"c":null,"A":"","":[[],{}]}`,
		`{"name":"caf\u00e9 \ud83d\ude00 \"\\\/\b\f\n\r\t","é":"é"}`,
		`{"half":"\ud800","other":"\udc00x","turned":"\udc00\ud800"}`, `{"\ud800":1}`,
		deep(2000),
	} {
		got, err := readJSON([]byte(text))
		if err != nil {
			t.Errorf("%.60s: %v", text, err)
			continue
		}
		var want any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(want, got) { // of what nests deeply, cmp would take for ever to tell the differences
			t.Errorf("%.60s: got %.200v, want %.200v", text, got, want)
		}
	}
}

func TestAmbiguousJSONIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		`{"a":1,"a":1}`:                `"a" appears twice`,
		`{"a":1,"\u0061":1}`:           `"a" appears twice`,
		`{"x":[{"b":{},"b":[]}]}`:      `"b" appears twice`,
		`{"\ud800":1,"\udfff":1}`:      "appears twice", // both are read as U+FFFD
		`{} {}`:                        "is not JSON",
		`{"a":1`:                       "is not JSON",
		"{\"a\":\"\xff\"}":             "not valid UTF-8",
		"\uFEFF{}":                     "byte order mark",
		" \n ":                         "is empty",
		strings.Repeat(`[`, 20_000):    "is not JSON",
		`{"kw_secret":` + "\x00" + `}`: "is not JSON",
	} {
		if _, err := readJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "kw_secret") {
			t.Errorf("%.40q: got %v, want %q", text, err, says)
		}
	}
}
