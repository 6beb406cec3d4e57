package problem

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
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
