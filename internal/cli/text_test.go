package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/caddy-keywarden/keywarden/admin"
)

func TestHostileNamesAreHarmlessOnATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"ci":                        "ci",
		"Ünïcode 名前 ключ 🔑":         "Ünïcode 名前 ключ 🔑",
		"a\x1b[2Jb":                 `a\u001b[2Jb`,
		"a\nb\r\tc":                 `a\u000ab\u000d\u0009c`,
		"a\u009b2Jb":                `a\u009b2Jb`,
		"user\u202Egnp.exe":         `user\u202egnp.exe`,
		"a\u2066b\u2069":            `a\u2066b\u2069`,
		"a\u200bb\u00ad":            `a\u200bb\u00ad`,
		"no\u00a0break":             `no\u00a0break`,
		"line\u2028para\u2029":      `line\u2028para\u2029`,
		"bad\xff\xc3":               `bad\ufffd\ufffd`,
		"tag\U000E0041":             `tag\U000e0041`,
		"\ufeffbom":                 `\ufeffbom`,
		"del\x7f":                   `del\u007f`,
		"a real replacement \ufffd": "a real replacement \ufffd",
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestPrintableLeavesNothingThatATerminalActsOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		if i := strings.IndexFunc(printable(text), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Fatalf("printable(%q) has something unprintable at %d", text, i)
		}
	})
}

func TestPrintableJSONIsTheSameValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "value")
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		safe := printableJSON(text)
		if i := strings.IndexFunc(string(safe), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Fatalf("%s has something unprintable at %d", safe, i)
		}
		var got map[string]string
		if err := json.Unmarshal(safe, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s became %s (%v)", text, safe, err)
		}
	})
}

func TestEveryFaultOfAnAnswerIsListed(t *testing.T) {
	got := explain(&admin.Problem{Status: 422, Code: "invalid_request", Detail: "name: too long; and 1 more", Errors: []admin.FieldError{
		{Field: "name", Message: "too long"}, {Message: "the body\x1b is odd"},
	}})
	want := "name: too long; and 1 more (invalid_request)\n  name: too long\n  the body\\u001b is odd"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestAFaultThatTheDetailTellsIsNotListedAgain(t *testing.T) {
	got := explain(&admin.Problem{Status: 422, Code: "invalid_request", Detail: "name: too long", Errors: []admin.FieldError{{Field: "name", Message: "too long"}}})
	if got != "name: too long (invalid_request)" {
		t.Errorf("got %s", got)
	}
}

func TestWhatACommandWasAboutStandsBeforeTheRefusal(t *testing.T) {
	refused := &admin.Problem{Status: 409, Code: "x", Detail: "no"}
	if got := explain(fmt.Errorf("not deleted: %w", refused)); got != "not deleted: no (x)" {
		t.Errorf("got %s", got)
	}
}

func TestProblemWithoutDetailStillSaysSomething(t *testing.T) {
	if got := explain(&admin.Problem{Status: 503, Code: "x"}); got != "Service Unavailable (x)" {
		t.Errorf("got %q", got)
	}
}

func TestRefusedKeySaysHowToLogIn(t *testing.T) {
	if got := explain(&admin.Problem{Status: 401, Code: "unknown_key", Detail: "no"}); !strings.Contains(got, "keywarden login") {
		t.Errorf("got %q", got)
	}
}

func TestAServersTextCannotForgeLines(t *testing.T) {
	got := explain(&admin.Problem{Status: 409, Code: "x", Detail: "one\nError: two"})
	if strings.Contains(got, "\n") {
		t.Errorf("got %q", got)
	}
	if got := explain(errors.New("first\nsecond\x07")); got != "first\nsecond\\u0007" {
		t.Errorf("our own line breaks: got %q", got)
	}
}

func TestShellQuoteSurvivesQuotes(t *testing.T) {
	if got := shellQuote("it's $HOME"); got != `'it'\''s $HOME'` {
		t.Errorf("got %s", got)
	}
}
