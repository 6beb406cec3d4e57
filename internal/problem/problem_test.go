package problem

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWriteHasEveryMember(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, Problem{Status: 403, Code: "insufficient_access", Title: "Insufficient access", Detail: "needs \"write\"\n", Fields: map[string]any{
		"api": "rest", "status": "hijacked", "code": "hijacked",
	}})
	if w.Code != 403 || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, headers %v", w.Code, w.Header())
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"type": "urn:keywarden:problem:insufficient_access", "title": "Insufficient access", "status": 403.0,
		"detail": "needs \"write\"\n", "code": "insufficient_access", "api": "rest",
		"error": map[string]any{"message": "needs \"write\"\n", "code": "insufficient_access"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestFieldThatIsNotJSONDoesNotOpenTheDoor(t *testing.T) {
	w := httptest.NewRecorder()
	Write(w, Problem{Status: 401, Code: "missing_key", Fields: map[string]any{"bad": func() {}}})
	if w.Code != 401 || !json.Valid(w.Body.Bytes()) {
		t.Errorf("status %d, body %s", w.Code, w.Body)
	}
}

// By hand or by encoding/json, and whatever is in the words: the same bytes.
func TestAProblemIsWhatEncodingJSONMakesOfIt(t *testing.T) {
	words := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`), rapid.SampledFrom([]string{
		"", `"`, `\`, "<script>&", "\x00\x1f\x7f", "\u2028\u2029", "\xff\xc0", "ключ", "needs write on rest; key kw_3fGh81Qz has read",
	}))
	rapid.Check(t, func(t *rapid.T) {
		p := Problem{rapid.Int().Draw(t, "status"), words.Draw(t, "code"), words.Draw(t, "title"), words.Draw(t, "detail"), nil}
		want, err := json.Marshal(map[string]any{
			"type": Type(p.Code), "title": p.Title, "status": p.Status, "detail": p.Detail, "code": p.Code,
			"error": map[string]string{"message": p.Detail, "code": p.Code},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.MarshalJSON()
		if err != nil || string(got) != string(want) {
			t.Errorf("%v\n got %s\nwant %s", err, got, want)
		}
		if got, err := json.Marshal(p); err != nil || string(got) != string(want) {
			t.Errorf("within a document: %v\n got %s\nwant %s", err, got, want)
		}
	})
}

// Caddy's header directive replaces parts of values where they are.
func TestAnAnswersHeadersAreItsOwn(t *testing.T) {
	p := Problem{Status: http.StatusUnauthorized, Code: "missing_key"}
	first, second := httptest.NewRecorder(), httptest.NewRecorder()
	Write(first, p)
	want := first.Header().Clone()
	for name, values := range first.Header() {
		values[0] = "changed"
		first.Header()[name] = append(values, "more")
	}
	Write(second, p)
	for name := range want {
		if got := first.Header()[name]; got[0] != "changed" || got[1] != "more" {
			t.Errorf("%s is %q", name, got)
		}
	}
	if diff := cmp.Diff(want, second.Header()); diff != "" {
		t.Errorf("the next answer's headers (-want +got):\n%s", diff)
	}
}

func BenchmarkWrite(b *testing.B) {
	p := Problem{Status: http.StatusUnauthorized, Code: "unknown_key", Title: "Unknown API key", Detail: "the API key is malformed, unknown or deleted"}
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		Write(w, p)
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header       { return d.h }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
