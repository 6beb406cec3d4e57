package admin_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is a call that the OpenAPI document describes. Attacks that go through
// all rows meet those of tomorrow as well.
type row struct {
	id, method, path string
	open             bool   // says that it needs no key
	body             string // a right one; "" where none is taken
	maxBody          int    // bytes
	schema           map[string]any
	parameters       []map[string]any
}

// rightBodies are bodies that calls take; a row whose body is not here fails
// every test that goes through the rows.
var rightBodies = map[string]string{
	"createKey":         `{"permissions": {"mode": "all"}}`,
	"importKeys":        `{"keys": [{"permissions": {"mode": "all"}, "secret": "a-secret-of-somebody-else-1234"}]}`,
	"checkKey":          `{"id": "key_x", "method": "GET", "path": "/rest/users"}`,
	"patchKey":          `{"permissions": {"mode": "all"}}`,
	"rotateKey":         `{"grace_seconds": 0}`,
	"putEndpoint":       `{"title": "Users"}`,
	"getKeyImpact":      `{"permissions": {"mode": "all"}}`,
	"reportLeak":        `{"secret": "a-secret-of-nobody-1234"}`,
	"reportGitHubAlert": `[{"token": "a-secret-of-nobody-1234", "type": "t"}]`,
}

var (
	bodyBound    = regexp.MustCompile(`At most (\d+) KiB`)
	placeholders = regexp.MustCompile(`\{\w+\}`)
)

// rows returns every row, with its placeholders filled in.
func (s *site) rows() (all []row) {
	s.t.Helper()
	fill := strings.NewReplacer("{id}", string(s.adminID), "{api}", "rest", "{endpoint}", "users")
	for template, item := range s.document.object("paths") {
		for method, described := range item.(map[string]any) {
			operation := document(described.(map[string]any))
			r := row{method: strings.ToUpper(method), path: fill.Replace(template)}
			r.id, _ = operation["operationId"].(string)
			security, _ := operation["security"].([]any)
			r.open = len(security) == 0
			if placeholders.MatchString(r.path) {
				s.t.Fatalf("nobody knows what stands for %s", r.path)
			}
			parameters, _ := operation["parameters"].([]any)
			for _, p := range parameters {
				r.parameters = append(r.parameters, p.(map[string]any))
			}
			if r.schema = s.resolve(operation.object("requestBody", "content", "application/json", "schema")); r.schema != nil {
				if r.body = rightBodies[r.id]; r.body == "" {
					s.t.Fatalf("nobody knows a right body of %s", r.id)
				}
				bound, _ := operation.object("requestBody")["description"].(string)
				kibibytes, err := strconv.Atoi(bodyBound.FindStringSubmatch(bound + " At most 0 KiB")[1])
				if err != nil || kibibytes == 0 {
					s.t.Fatalf("nobody knows how large the body of %s may be: %q", r.id, bound)
				}
				r.maxBody = kibibytes << 10
			}
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b row) int { return strings.Compare(a.id, b.id) })
	if len(all) < 18 {
		s.t.Fatalf("only %d rows are documented", len(all))
	}
	return all
}

// resolve follows a reference to a schema.
func (s *site) resolve(schema map[string]any) map[string]any {
	if ref, ok := schema["$ref"].(string); ok {
		return s.document.object(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return schema
}

// send asks for a row with another body, from an address of its own where calls
// are counted by address.
func (r *row) send(s *site, body string, headers ...string) response {
	s.t.Helper()
	headers = append([]string{"Test-From: " + nextAddress(s)}, headers...)
	if r.id == "reportGitHubAlert" {
		headers = append(headers, signed(body)...)
	}
	return s.do(r.method, r.path, body, headers...)
}

// nextAddress is an address that has not called yet.
func nextAddress(s *site) string {
	n := s.addresses.Add(1)
	return "10." + strconv.FormatInt(n>>16&255, 10) + "." + strconv.FormatInt(n>>8&255, 10) + "." + strconv.FormatInt(n&255, 10)
}

func TestEveryRowTakesItsRightBody(t *testing.T) {
	s := newSite(t, signedByTest)
	for _, r := range s.rows() {
		if r.body == "" {
			continue
		}
		if answer := r.send(s, r.body); answer.status >= 400 && answer.get("code") != "no_such_key" {
			t.Errorf("%s does not take %s: %s", r.id, r.body, answer.text)
		}
	}
}
