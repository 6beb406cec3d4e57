package admin_test

import (
	"net/http"
	"testing"
)

// Whatever is sent, the answer is no 5xx, and what is refused is not stored.
func FuzzCreateBody(f *testing.F) {
	for _, seed := range []string{
		restrictedBody, `{}`, `{"permissions":{"mode":"all"}}`, `{"permissions":{"mode":"all"},"name":"\ud800"}`,
		`{"permissions":{"mode":"restricted","apis":{"rest":{"access":"restricted","endpoints":{"a.b":"read"}}}}}`,
		`{"permissions":{"mode":"all"},"metadata":{"a":"\u0000"}}`, `[[[[`, "\ufeff{}", `{"a":1,"a":2}`, `{"name":1e999}`, `{"":{"":{}}}`,
	} {
		f.Add([]byte(seed))
	}
	s := newSite(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		s.t = t
		before := s.stored()
		answer := s.do("POST", "/v1/keys", string(body), "Content-Type: application/json")
		switch answer.status {
		case http.StatusCreated:
			s.do("GET", answer.header.Get("Location"), "").want(200)
			s.do("DELETE", answer.header.Get("Location"), "").want(204)
		case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
			if s.stored() != before {
				t.Errorf("%q was refused and stored something", body)
			}
			if answer.status == http.StatusUnprocessableEntity && len(answer.faults()) == 0 {
				t.Errorf("%q: no fault is named: %s", body, answer.text)
			}
		default:
			t.Errorf("%q is answered with %d: %s", body, answer.status, answer.text)
		}
	})
}
