package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// document is the OpenAPI document, as anybody reads it.
type document map[string]any

// object follows names down the document.
func (d document) object(names ...string) map[string]any {
	at := map[string]any(d)
	for _, name := range names {
		at, _ = at[name].(map[string]any)
	}
	return at
}

// operation returns the template and the operation for a request; nil if the
// document has none.
func (d document) operation(method, path string) map[string]any {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path, _, _ = strings.Cut(path, "?")
	var best map[string]any
	captures := 99
	for template, item := range d.object("paths") {
		pattern := regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
		if n := strings.Count(template, "{"); n < captures && regexp.MustCompile("^"+pattern+"$").MatchString(path) {
			best, _ = item.(map[string]any)[strings.ToLower(method)].(map[string]any)
			captures = n
		}
	}
	return best
}

// holdAgainst fails if an answer is not what the document promises. Every
// answer of every test goes through it.
func (d document) holdAgainst(t testing.TB, method, path string, r response) {
	t.Helper()
	operation := d.operation(method, path)
	if operation == nil || method != strings.ToUpper(method) {
		return
	}
	responses, _ := operation["responses"].(map[string]any)
	documented, ok := responses[strconv.Itoa(r.status)].(map[string]any)
	if !ok {
		t.Errorf("%s %s answers %d, which is not documented: %s", method, path, r.status, r.text)
		return
	}
	if headers, _ := documented["headers"].(map[string]any); headers != nil && !strings.HasSuffix(path, "whoami") {
		for name, header := range headers {
			if required, _ := header.(map[string]any)["required"].(bool); required && r.header.Get(name) == "" {
				t.Errorf("%s %s promises the header %s", method, path, name)
			}
		}
	}
	content, _ := documented["content"].(map[string]any)
	if content == nil || method == http.MethodHead {
		if r.text != "" {
			t.Errorf("%s %s answers %d with a body: %s", method, path, r.status, r.text)
		}
		return
	}
	media, ok := content[r.header.Get("Content-Type")].(map[string]any)
	if !ok {
		t.Errorf("%s %s answers %d as %q, which is not documented", method, path, r.status, r.header.Get("Content-Type"))
		return
	}
	schema, _ := media["schema"].(map[string]any)
	var answered any
	if err := json.Unmarshal([]byte(r.text), &answered); err != nil && strings.Contains(r.header.Get("Content-Type"), "json") {
		t.Errorf("%s %s: %v in %s", method, path, err, r.text)
	}
	if _, isList := answered.([]any); !isList {
		answered = r.tree
	}
	for _, fault := range d.faults(schema, "", answered) {
		t.Errorf("%s %s: the answer is not as documented: %s\n%s", method, path, fault, r.text)
	}
	if code, ok := r.tree["code"].(string); ok && r.status >= 400 && !strings.Contains(documented["description"].(string), code) {
		t.Errorf("%s %s answers with the code %s, which is not documented", method, path, code)
	}
}

// faults holds a value against a schema of the document. It is written anew,
// not taken from the code under test.
func (d document) faults(schema map[string]any, path string, v any) (out []string) {
	if ref, ok := schema["$ref"].(string); ok {
		schema = d.object(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	if len(schema) == 0 {
		return nil
	}
	types, ok := schema["type"].([]any)
	if !ok && schema["type"] != nil {
		types = []any{schema["type"]}
	}
	if types != nil && !slices.Contains(types, any(typeOf(v))) && (typeOf(v) != "number" || !slices.Contains(types, any("integer"))) {
		return []string{fmt.Sprintf("%s is a %s, not %v", path, typeOf(v), types)}
	}
	if words, ok := schema["enum"].([]any); ok && v != nil && !slices.Contains(words, v) {
		out = append(out, fmt.Sprintf("%s is %v, not one of %v", path, v, words))
	}
	switch v := v.(type) {
	case map[string]any:
		out = append(out, d.objectFaults(schema, path, v)...)
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, item := range v {
			out = append(out, d.faults(items, fmt.Sprintf("%s[%d]", path, i), item)...)
		}
	case string:
		if _, err := time.Parse(time.RFC3339, v); schema["format"] == "date-time" && (err != nil || !strings.HasSuffix(v, "Z")) {
			out = append(out, fmt.Sprintf("%s is no time in UTC: %q", path, v))
		}
	}
	return out
}

func (d document) objectFaults(schema map[string]any, path string, v map[string]any) (out []string) {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			out = append(out, fmt.Sprintf("%s.%s is missing", path, name))
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	rest, open := schema["additionalProperties"].(map[string]any)
	for name, value := range v {
		property, known := properties[name].(map[string]any)
		switch {
		case known:
			out = append(out, d.faults(property, path+"."+name, value)...)
		case open:
			out = append(out, d.faults(rest, path+"."+name, value)...)
		default:
			out = append(out, fmt.Sprintf("%s.%s is not documented", path, name))
		}
	}
	return out
}

func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func TestTheDocumentIsOpenAPI31(t *testing.T) {
	s := newSite(t)
	answer := s.do("GET", "/v1/openapi.json", "", "Authorization: ").want(200)
	d := document(answer.tree)
	if version, _ := d["openapi"].(string); !strings.HasPrefix(version, "3.1.") {
		t.Errorf("it is of OpenAPI %v", d["openapi"])
	}
	if info := d.object("info"); info["title"] == "" || info["version"] != "test" {
		t.Errorf("info is %v", info)
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"([^"]*)"`).FindAllStringSubmatch(answer.text, -1) {
		if d.object(strings.Split(strings.TrimPrefix(ref[1], "#/"), "/")...) == nil {
			t.Errorf("%s leads nowhere", ref[1])
		}
	}
	if len(d.object("components", "securitySchemes")) != 3 {
		t.Errorf("security schemes are %v", d.object("components", "securitySchemes"))
	}
	ids := map[string]bool{}
	for path, item := range d.object("paths") {
		for method, value := range item.(map[string]any) {
			checkOperation(t, d, path, method, value.(map[string]any))
			id := value.(map[string]any)["operationId"].(string)
			if ids[id] {
				t.Errorf("operationId %s is there twice", id)
			}
			ids[id] = true
		}
	}
}

func checkOperation(t *testing.T, d document, path, method string, operation map[string]any) {
	t.Helper()
	where := method + " " + path
	if operation["summary"] == "" || len(operation["tags"].([]any)) != 1 {
		t.Errorf("%s has no summary or tag", where)
	}
	security, given := operation["security"].([]any)
	if open := !strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v1/leaks"); !open && len(security) != 3 || open && (len(security) != 0 || !given) {
		t.Errorf("%s: security is %v", where, operation["security"])
	}
	named := map[string]bool{}
	parameters, _ := operation["parameters"].([]any)
	for _, p := range parameters {
		parameter := p.(map[string]any)
		if parameter["description"] == nil || parameter["schema"] == nil {
			t.Errorf("%s: the parameter %v is not described", where, parameter["name"])
		}
		if parameter["in"] == "path" {
			named[parameter["name"].(string)] = true
		}
	}
	for _, capture := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		if !named[capture[1]] {
			t.Errorf("%s: the parameter %s is missing", where, capture[1])
		}
	}
	success := false
	for status, value := range operation["responses"].(map[string]any) {
		success = success || strings.HasPrefix(status, "2")
		if description, _ := value.(map[string]any)["description"].(string); description == "" {
			t.Errorf("%s: the answer %s is not described", where, status)
		}
	}
	if !success {
		t.Errorf("%s never succeeds", where)
	}
}

func TestWhatIsServedIsDocumentedAndTheOtherWayRound(t *testing.T) {
	s := newSite(t)
	var served, documented []string
	for path, methods := range admin.Routes(s.server.Config.Handler) {
		if strings.HasPrefix(path, "/docs") || path == "/v1/openapi.json" {
			continue // the documentation itself
		}
		for _, method := range methods {
			if method != http.MethodHead {
				served = append(served, method+" "+path)
			}
		}
	}
	for path, item := range s.document.object("paths") {
		for method := range item.(map[string]any) {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("served are\n%v\ndocumented are\n%v", served, documented)
	}
}

func TestDocumentedExamplesAreValid(t *testing.T) {
	s := newSite(t)
	for name, value := range s.document.object("components", "schemas") {
		properties, _ := value.(map[string]any)["properties"].(map[string]any)
		for property, p := range properties {
			schema := p.(map[string]any)
			examples, _ := schema["examples"].([]any)
			for _, example := range examples {
				for _, fault := range s.document.faults(schema, name+"."+property, example) {
					t.Errorf("the example of %s", fault)
				}
			}
		}
	}
}

// The document promises nothing that the validator does not enforce: every
// keyword of a request's schema is one that it knows.
func TestRequestSchemasUseOnlyKeywordsThatAreEnforced(t *testing.T) {
	s := newSite(t)
	enforced := []string{
		"type", "properties", "required", "additionalProperties", "propertyNames", "maxProperties", "items", "minItems", "maxItems",
		"enum", "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "$ref",
	}
	told := []string{"description", "examples", "default", "patternDescription"}
	var walk func(where string, schema map[string]any)
	walk = func(where string, schema map[string]any) {
		for keyword, value := range schema {
			if !slices.Contains(enforced, keyword) && !slices.Contains(told, keyword) {
				t.Errorf("%s: nobody enforces %s", where, keyword)
			}
			if format := schema["format"]; format != nil && format != "date-time" && format != "int64" {
				t.Errorf("%s: nobody enforces the format %v", where, format)
			}
			switch value := value.(type) {
			case map[string]any:
				if keyword != "properties" {
					walk(where+"."+keyword, value)
					continue
				}
				for name, property := range value {
					walk(where+"."+name, property.(map[string]any))
				}
			case string:
				if keyword == "$ref" {
					walk(value, s.document.object(strings.Split(strings.TrimPrefix(value, "#/"), "/")...))
				}
			}
		}
	}
	for path, item := range s.document.object("paths") {
		for method, operation := range item.(map[string]any) {
			body := document(operation.(map[string]any)).object("requestBody", "content", "application/json", "schema")
			walk(method+" "+path, body)
		}
	}
}

func TestTheDocumentIsTheSameEachTime(t *testing.T) {
	first, second := newSite(t).do("GET", "/v1/openapi.json", "").text, newSite(t).do("GET", "/v1/openapi.json", "").text
	if first != second {
		t.Error("two instances tell two documents")
	}
	if !json.Valid([]byte(first)) {
		t.Error("it is no JSON")
	}
}
