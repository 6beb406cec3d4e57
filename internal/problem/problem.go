// Package problem writes answers that refuse something, as RFC 9457 problem
// details. It knows nothing of why.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// ContentType is the media type of every refusal (RFC 9457, section 3).
const ContentType = "application/problem+json"

// Problem is one refusal.
type Problem struct {
	Status int    // HTTP status
	Code   string // stable, for programs
	Title  string // the same for every problem of this code
	Detail string // what happened here, and what to do
	// Fields are further members, such as "errors"; they can't replace the
	// ones above.
	Fields map[string]any
}

// Type returns the problem's type: a URN made of its code, as there is no page
// to point to that every deployment could reach.
func Type(code string) string { return "urn:keywarden:problem:" + code }

// MarshalJSON writes the members of RFC 9457, "code", and "error", which
// clients made for OpenAI's API show to people.
func (p Problem) MarshalJSON() ([]byte, error) {
	members := make(map[string]any, len(p.Fields)+6)
	for name, value := range p.Fields {
		members[name] = value
	}
	members["type"] = Type(p.Code)
	members["title"] = p.Title
	members["status"] = p.Status
	members["detail"] = p.Detail
	members["code"] = p.Code
	members["error"] = map[string]string{"message": p.Detail, "code": p.Code}
	return json.Marshal(members)
}

// Write answers with p. Headers that belong to the refusal, such as
// WWW-Authenticate, are set by the caller before.
func Write(w http.ResponseWriter, p Problem) {
	body, err := json.Marshal(p)
	if err != nil { // a field that can't be JSON: the refusal still stands
		p.Fields = nil
		body, _ = json.Marshal(p) //nolint:errchkjson // strings and an int always can
	}
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	// An error here means that the client has gone: nobody is left to tell.
	_, _ = w.Write(body)
}
