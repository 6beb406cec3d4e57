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
	if len(p.Fields) == 0 {
		return p.appendTo(make([]byte, 0, 512)), nil
	}
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

// appendTo appends what json.Marshal makes of p without further members, by
// hand: whoever floods a gateway with false secrets makes it write nothing but
// this, and maps took a tenth of such a request's time.
func (p *Problem) appendTo(b []byte) []byte {
	b = appendString(append(b, `{"code":`...), p.Code)
	b = appendString(append(b, `,"detail":`...), p.Detail)
	b = appendString(append(b, `,"error":{"code":`...), p.Code)
	b = appendString(append(b, `,"message":`...), p.Detail)
	b = strconv.AppendInt(append(b, `},"status":`...), int64(p.Status), 10)
	b = appendString(append(b, `,"title":`...), p.Title)
	b = appendString(append(b, `,"type":`...), Type(p.Code))
	return append(b, '}')
}

// appendString appends text as JSON, in the words of encoding/json.
func appendString(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			escaped, _ := json.Marshal(text) //nolint:errchkjson // a string always can be
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// Write answers with p. Headers that belong to the refusal, such as
// WWW-Authenticate, are set by the caller before.
func Write(w http.ResponseWriter, p Problem) {
	body, err := p.MarshalJSON()
	if err != nil { // a field that can't be JSON: the refusal still stands
		p.Fields = nil
		body = p.appendTo(nil)
	}
	// One array for all values instead of one for each. They are not shared
	// with other answers: who changes headers after us may do so in place.
	values := &[...]string{ContentType, strconv.Itoa(len(body)), "no-store", "nosniff"}
	h := w.Header()
	h["Content-Type"], h["Content-Length"] = values[0:1:1], values[1:2:2]
	h["Cache-Control"], h["X-Content-Type-Options"] = values[2:3:3], values[3:4:4]
	w.WriteHeader(p.Status)
	// An error here means that the client has gone: nobody is left to tell.
	_, _ = w.Write(body)
}
