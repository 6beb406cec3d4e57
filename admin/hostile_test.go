package admin_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryFaultOfABodyIsToldAtOnce(t *testing.T) {
	s := newSite(t)
	before := s.stored()
	answer := s.do("POST", "/v1/keys", `{
		"name": 7, "Owner": "x", "owner": "a\u0000b", "admin": "root", "enabled": "yes", "expires_at": "tomorrow",
		"metadata": {"": "x", "ok": "y", "number": 1, "null": null, "long": "`+strings.Repeat("v", 501)+`", "`+strings.Repeat("k", 41)+`": "v"},
		"permissions": {"mode": "restricted", "apis": {
			"graphql": {"access": "all"},
			"nope": {"access": "read"},
			"rest": {"access": "read", "endpoints": {"users": "read"}},
			"Bad Name": {},
			"serverless": {"access": "restricted", "endpoints": {"a/b": "read", "a.b": "restricted", "": "read", "c": null}, "extra": 1}
		}, "api": {}},
		"secret": "kw_mine"
	}`).problem(422, "invalid_request")
	want := map[string]string{
		"name": "expected a string, found a number", "Owner": `unknown field; it is written "owner", names are case-sensitive`,
		"owner": "expected no control characters", "admin": "expected one of none, read, write",
		"enabled": "expected a boolean, found a string", "expires_at": `expected a time of RFC 3339, such as "2030-01-31T12:00:00Z"`,
		"metadata.": "expected at least 1 character, found 0", "metadata.number": "expected a string, found a number",
		"metadata.null": "expected a string, found null", "metadata.long": "expected at most 500 characters, found 501",
		"metadata." + strings.Repeat("k", 41): "expected at most 40 characters, found 41",
		"permissions.api":                     "unknown field; expected one of apis, mode",
		"permissions.apis.graphql.access":     "expected one of none, read, write, restricted",
		"permissions.apis.nope":               "no API of this name is declared in the configuration; GET /v1/apis lists those that are",
		"permissions.apis.rest.endpoints":     "belongs to access restricted only",
		"permissions.apis.Bad Name":           "expected the name of an API: a-z, 0-9 and -, the first a letter",
		"permissions.apis.Bad Name.access":    "is required", "permissions.apis.serverless.extra": "unknown field; expected one of access, endpoints",
		"permissions.apis.serverless.endpoints.a/b": "expected the id of an endpoint: no slash, no control characters",
		"permissions.apis.serverless.endpoints.a.b": "expected one of none, read, write",
		"permissions.apis.serverless.endpoints.":    "expected at least 1 character, found 0",
		"permissions.apis.serverless.endpoints.c":   "expected a string, found null",
		"secret": "unknown field; expected one of admin, allowed_cidrs, enabled, expires_at, metadata, name, owner, permissions",
	}
	if diff := cmp.Diff(want, answer.faults()); diff != "" {
		t.Errorf("faults differ (-want +got):\n%s", diff)
	}
	if strings.Contains(answer.text, "kw_mine") {
		t.Error("the answer repeats a value")
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
}

func TestWrongBodiesAreRefused(t *testing.T) {
	s := newSite(t)
	path := "/v1/keys/" + string(s.adminID)
	before := s.stored()
	all := `"permissions": {"mode": "all"}`
	for body, status := range map[string]int{
		"":                    400,
		" \n":                 400,
		"{":                   400,
		"nul":                 400,
		`{"a": 1,}`:           400,
		`{'a': 1}`:            400,
		`{` + all + `} {}`:    400,
		`{` + all + `}x`:      400,
		"\ufeff{" + all + "}": 400,
		`{` + all + `, "name": "` + "\xff" + `"}`:                                                                   400,
		`{` + all + `, "name": "a", "name": "b"}`:                                                                   400,
		`{` + all + `, "n\u0061me": "a", "name": "b"}`:                                                              400,
		`{"permissions": {"mode": "all", "mode": "all"}}`:                                                           400,
		`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "read"}, "rest": {"access": "none"}}}}`: 400,
		`{` + all + `, "metadata": {"a": "1", "a": "2"}}`:                                                           400,
		`{` + all + `, "name": "` + "a\x00b" + `"}`:                                                                 400,
		strings.Repeat("[", 100_000):                                                                                400,
		strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000):                                         400,
		strings.Repeat(`{"a":`, 5_000) + "1" + strings.Repeat("}", 5_000):                                           422,
		`{"name": ` + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000) + `}`:                                 422,
		"null": 422, "[]": 422, "1": 422, `"x"`: 422, "true": 422,
		`{"permissions": null}`: 422, `{"permissions": []}`: 422, `{"permissions": {}}`: 422,
		`{"permissions": {"mode": "All"}}`: 422, `{"permissions": {"mode": null}}`: 422,
		`{"permissions": {"mode": "all", "apis": {}}}`:                                                           422,
		`{"permissions": {"mode": "read_only", "apis": {"rest": {"access": "write"}}}}`:                          422,
		`{"permissions": {"mode": "restricted", "apis": null}}`:                                                  422,
		`{"permissions": {"mode": "restricted", "apis": {"rest": null}}}`:                                        422,
		`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "none", "endpoints": {}}}}}`:         422,
		`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "restricted", "endpoints": null}}}}`: 422,
		`{` + all + `, "name": ""}`: 422, `{` + all + `, "name": " \u00a0\t "}`: 422, `{` + all + `, "name": null}`: 422,
		`{` + all + `, "name": "` + strings.Repeat("é", 101) + `"}`: 422, `{` + all + `, "name": "a\u0007b"}`: 422, `{` + all + `, "name": "a\u0085b"}`: 422,
		`{` + all + `, "owner": null}`: 422, `{` + all + `, "owner": "` + strings.Repeat("o", 201) + `"}`: 422,
		`{` + all + `, "admin": null}`: 422, `{` + all + `, "admin": ""}`: 422, `{` + all + `, "enabled": null}`: 422, `{` + all + `, "enabled": 1}`: 422,
		`{` + all + `, "expires_at": ""}`: 422, `{` + all + `, "expires_at": 1893456000}`: 422, `{` + all + `, "expires_at": "2030-01-01"}`: 422,
		`{` + all + `, "expires_at": "2026-01-02T03:04:05.678Z"}`: 422, `{` + all + `, "expires_at": "2026-01-02T03:04:05.6789Z"}`: 422,
		`{` + all + `, "expires_at": "2030-01-01T00:00:00,5Z"}`: 422, `{` + all + `, "expires_at": "0000-01-01T00:00:00Z"}`: 422,
		`{` + all + `, "metadata": []}`: 422, `{` + all + `, "metadata": {"a": "\u0000"}}`: 422,
		`{` + all + `, "Name": "x"}`: 422, `{` + all + `, "id": "x"}`: 422, `{` + all + `, "legacy": true}`: 422, `{` + all + `, "": 1}`: 422,
	} {
		code := map[int]string{400: "invalid_json", 422: "invalid_request"}[status]
		s.do("POST", "/v1/keys", body, "Content-Type: application/json").problem(status, code)
		if status == 400 || strings.Contains(body, `"permissions": {"mode": "all"}, `) {
			s.do("PATCH", path, body, "Content-Type: application/json").problem(status, code)
		}
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
	for _, body := range []string{`{"permissions": null}`, `{"name": null}`, `{"owner": null}`, `{"admin": null}`, `{"enabled": null}`, `{"metadata": "x"}`, `{"status": "active"}`, `[]`} {
		s.do("PATCH", path, body).problem(422, "invalid_request")
	}
	if s.stored() != before {
		t.Error("something was stored")
	}
}

func TestTheEdgesOfLimitsAreAllowed(t *testing.T) {
	s := newSite(t)
	for _, body := range []string{
		`{"permissions": {"mode": "all"}, "name": "  ` + strings.Repeat("é", 100) + `  "}`,
		`{"permissions": {"mode": "all"}, "owner": "` + strings.Repeat("鍵", 200) + `"}`,
		`{"permissions": {"mode": "all"}, "metadata": {"` + strings.Repeat("k", 40) + `": "` + strings.Repeat("é", 500) + `", "lines": "a\nb"}}`,
		`{"permissions": {"mode": "all"}, "expires_at": "2026-01-02T03:04:05.679Z"}`,
		`{"permissions": {"mode": "all"}, "expires_at": "9999-12-31T23:59:59.999Z"}`,
		`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "restricted", "endpoints": {"` + strings.Repeat("é", 128) + `": "none"}}}}}`,
		`{"permissions": {"mode": "restricted", "apis": {"rest": {"access": "restricted"}}}}`,
		`{"permissions": {"mode": "all"}, "name": "<script>&amp;\u2028"}`,
	} {
		created := s.create(body)
		if diff := cmp.Diff(created.tree["permissions"], s.do("GET", created.header.Get("Location"), "").want(200).tree["permissions"]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestBodiesMustBeDeclaredAsJSON(t *testing.T) {
	s := newSite(t)
	const body = `{"permissions": {"mode": "all"}}`
	for declared, status := range map[string]int{
		"application/json": 201, "Application/JSON; charset=UTF-8": 201, "application/merge-patch+json": 201, `application/json; charset="utf-8"`: 201,
		"": 415, "text/plain": 415, "application/x-www-form-urlencoded": 415, "application/json; charset=latin1": 415, "application/jsonp": 415,
		"application/problem+json": 415, "application/json, text/plain": 415, "json": 415, "application/json;": 201, "multipart/form-data; boundary=x": 415,
	} {
		answer := s.do("POST", "/v1/keys", body, "Content-Type: "+declared).want(status)
		if status == 415 {
			answer.problem(415, "unsupported_media_type")
		}
	}
	s.do("POST", "/v1/keys", body, "Content-Encoding: gzip").problem(415, "unsupported_media_type")
}

func TestBodiesAreBounded(t *testing.T) {
	s := newSite(t)
	fill := func(size int) string {
		body := `{"permissions": {"mode": "all"}}`
		return body + strings.Repeat(" ", size-len(body))
	}
	s.do("POST", "/v1/keys", fill(256<<10)).want(201)
	s.do("POST", "/v1/keys", fill(256<<10+1)).problem(413, "body_too_large")
	s.do("PATCH", "/v1/keys/"+string(s.adminID), fill(256<<10+1)).problem(413, "body_too_large")
	s.do("PUT", "/v1/apis/rest/endpoints/e", fill(256<<10+1)).problem(413, "body_too_large")
	s.do("POST", "/v1/keys/x/rotate", fill(256<<10+1)).problem(413, "body_too_large")

	// Sent in chunks, a body does not say how long it is.
	r, err := http.NewRequestWithContext(context.Background(), "POST", s.server.URL+"/v1/keys", io.MultiReader(strings.NewReader(fill(256<<10+1))))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.admin)
	r.Header.Set("Content-Type", "application/json")
	s.send(r).problem(413, "body_too_large")
}

func TestManyFaultsDoNotMakeAGiantAnswer(t *testing.T) {
	s := newSite(t)
	var body strings.Builder
	body.WriteString(`{"permissions": {"mode": "all"}`)
	for i := range 20_000 {
		body.WriteString(`,"` + strings.Repeat("x", 1+i%3) + string(rune('a'+i%26)) + strconv.Itoa(i) + `":1`)
	}
	body.WriteString("}")
	answer := s.do("POST", "/v1/keys", body.String()).problem(422, "invalid_request")
	if got := len(answer.faults()); got != 1000 || len(answer.text) > 256<<10 {
		t.Errorf("%d faults in %d bytes", got, len(answer.text))
	}
	if !strings.Contains(answer.get("detail"), "of which the first 1000 are listed") {
		t.Errorf("detail is %q", answer.get("detail"))
	}
	long := s.do("POST", "/v1/keys", `{"`+strings.Repeat("é", 100_000)+`": 1}`).problem(422, "invalid_request")
	if len(long.text) > 2000 {
		t.Errorf("a long name makes an answer of %d bytes", len(long.text))
	}
}

func TestACallWhoseBodyBreaksOffStoresNothing(t *testing.T) {
	s := newSite(t)
	before := s.stored()
	body, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, `{"permissions": {"mode": "all"}`)
		_ = writer.CloseWithError(io.ErrUnexpectedEOF)
	}()
	r, err := http.NewRequestWithContext(context.Background(), "POST", s.server.URL+"/v1/keys", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.admin)
	r.Header.Set("Content-Type", "application/json")
	if answer, err := s.server.Client().Transport.RoundTrip(r); err == nil {
		_ = answer.Body.Close()
		t.Errorf("half a body was answered with %d", answer.StatusCode)
	}
	if s.stored() != before {
		t.Error("half a body was stored")
	}
}
