package route

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// fuzzConfig reads a configuration of lines: "public PATTERN", "API PATTERN",
// "API/ENDPOINT PATTERN", "API read|write [METHOD] PATTERN".
func fuzzConfig(text string) Config {
	var c Config
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Split(line, " ")
		source := Source{Pattern: words[len(words)-1]}
		name, endpointID, named := strings.Cut(words[0], "/")
		if name == "public" {
			c.Public = append(c.Public, source)
			continue
		}
		i := slices.IndexFunc(c.APIs, func(a API) bool { return a.Name == name })
		if i < 0 {
			i = len(c.APIs)
			c.APIs = append(c.APIs, API{Name: name})
		}
		a := &c.APIs[i]
		switch {
		case len(words) > 2:
			access, _ := permission.ParseAccess(words[1])
			a.Rules = append(a.Rules, Rule{access, words[2 : len(words)-1], []Source{source}})
		case named:
			a.Endpoints = append(a.Endpoints, EndpointDecl{endpointID, []Source{source}})
		default:
			a.Paths = append(a.Paths, source)
		}
	}
	return c
}

const fuzzSeed = "public /docs/*\na /v2/{endpoint}/*\na read POST /v2/{endpoint}/status/*\na write GET /v2/{endpoint}/purge\n" +
	"b /rest/*\nb/users /rest/users\nb/users2 /rest/users/*\nb read POST /rest/search\nc /Kelvin/{endpoint}"

func FuzzTable(f *testing.F) {
	for _, path := range []string{
		"/", "/docs/", "/docs/x", "/v2/a/status/1", "/v2/a/PURGE", "/v2/a/purge/", "/rest/users", "/rest/Users/", "/rest/search",
		"/\u212Aelvin/x", "/v2//x", "/V2/a/", "//", "/rest/\xff", "", "*",
	} {
		f.Add(fuzzSeed, path, "GET")
		f.Add(fuzzSeed, path, "POST")
	}
	f.Add("a /{endpoint}/b\nb /a/{endpoint}", "/a/b", "GET")
	f.Add("a /*\nb /A/*\nc /a/b\nd /a/B/", "/a/b/", "HEAD")
	f.Fuzz(func(t *testing.T, config, path, method string) {
		c := fuzzConfig(config)
		table, err := Compile(c)
		if err != nil {
			return
		}
		m, matched := table.Match(method, path, NoUpgrade)
		if strings.Contains(path, "//") || path == "" || path[0] != '/' || !utf8.ValidString(path) {
			return // never asked: Ambiguous refuses them
		}
		want := slowTargets(table.claims, path)
		if got := gotTargets(m, matched); !matched && len(want) > 3 {
			return // too many readings
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", path, diff)
		}
		if !matched || m.Public {
			return
		}
		access := slowAccess(m.API.Rules, method, path, false)
		for _, also := range m.Also() {
			access = max(access, slowAccess(also.API.Rules, method, path, false))
		}
		if m.Access != access {
			t.Fatalf("%s %q: %s, want %s", method, path, m.Access, access)
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, p := range []string{"/", "/*", "/a/{endpoint}/*", "//*", "/a*", "/%41", "/é/ſ", "/{endpoint}{endpoint}", "/a/../b"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePattern(Source{Pattern: text})
		if err != nil {
			return
		}
		// A request for the pattern's own text can be made, and matches it.
		path := strings.TrimSuffix(strings.ReplaceAll(text, captureSegment, "x"), "*")
		if reason := decodedFault(path); reason != "" {
			t.Fatalf("%q can't be requested: %s", text, reason)
		}
		if _, ok := slowMatch(text, path); !ok || !p.matchesCase(path) {
			t.Fatalf("%q does not match %q", text, path)
		}
		if compare(p, p) != equal || compareLoosely(p, p) != equal {
			t.Fatalf("%q is not equal to itself", text)
		}
	})
}

func FuzzGraphQL(f *testing.F) {
	for _, body := range []string{
		`{"query":"{a}"}`, `{"query":"mutation {a}"}`, `{"query":"query Q {a} mutation M {b}","operationName":"Q"}`, `[{"query":"{a}"}]`, `[]`,
		`{"query":"{a}","query":"mutation {b}"}`, `{"query":"{a(x:\"\"\"b\"\"\")}"}`, `{"query":"# x\rmutation {b}"}`, `{"query":"subscription {a}"} {}`,
		"{a}", "mutation {a}", "query Q($a:Int=1)@d{...F}fragment F on T{a}", "#\r{a}", "\ufeff{a}",
	} {
		f.Add([]byte(body), "application/json", "")
		f.Add([]byte(body), "application/graphql", "")
		f.Add([]byte(multipartBody(body)), "multipart/form-data; boundary=b0", "")
		f.Add([]byte{}, "", "query="+body)
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType, query string) {
		r := post(contentType, query)
		if contentType == "" {
			r.Method = http.MethodGet
		}
		access, err := graphQLAPI.Classify(r, body)
		if err != nil || access != permission.Read {
			return
		}
		switch contentType {
		case "application/json":
			checkReads(t, body)
		case "application/graphql":
			if writesAnywhere(string(body), "") {
				t.Fatalf("%q was taken for a read", body)
			}
		}
	})
}

// checkReads reads the body as a careless server would, with encoding/json,
// and finds no operation that writes.
func checkReads(t *testing.T, body []byte) {
	type request struct{ Query, OperationName string }
	var batch []request
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		if err := json.Unmarshal(body, &batch); err != nil {
			t.Fatalf("%q was classified, but is %v", body, err)
		}
	} else {
		batch = make([]request, 1)
		if err := json.Unmarshal(body, &batch[0]); err != nil {
			t.Fatalf("%q was classified, but is %v", body, err)
		}
	}
	for _, r := range batch {
		if writesAnywhere(r.Query, r.OperationName) {
			t.Fatalf("%q was taken for a read", body)
		}
	}
}

// writesAnywhere finds an operation that writes with a scanner of its own: it
// knows strings, comments, names and braces, and nothing of grammar. With a
// name, only the operation of that name counts.
func writesAnywhere(document, name string) bool {
	tokens := scanTopLevel(document)
	for i, token := range tokens {
		if token != "mutation" && token != "subscription" {
			continue
		}
		if i > 0 && tokens[i-1] != "}" {
			continue // it is the name of another operation, or a type
		}
		if name == "" || i+1 < len(tokens) && tokens[i+1] == name {
			return true
		}
	}
	return false
}

// scanTopLevel returns the names outside of braces and parentheses, and "}"
// for every end of an outermost brace.
func scanTopLevel(s string) []string {
	var tokens []string
	depth := 0
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '#':
			for i < len(s) && s[i] != '\n' && s[i] != '\r' {
				i++
			}
		case strings.HasPrefix(s[i:], `"""`):
			i = endOfBlockString(s, i+3)
		case c == '"':
			i = endOfString(s, i+1)
		case c == '{' || c == '(' || c == '[':
			depth++
			i++
		case c == '}' || c == ')' || c == ']':
			if depth--; depth == 0 && c == '}' {
				tokens = append(tokens, "}")
			}
			i++
		case isNameByte(c):
			start := i
			for i < len(s) && isNameByte(s[i]) {
				i++
			}
			if depth == 0 {
				tokens = append(tokens, s[start:i])
			}
		default:
			i++
		}
	}
	return tokens
}

func endOfBlockString(s string, i int) int {
	for i < len(s) && !strings.HasPrefix(s[i:], `"""`) {
		if strings.HasPrefix(s[i:], `\"""`) {
			i += 3
		}
		i++
	}
	return i + 3
}

func endOfString(s string, i int) int {
	for i < len(s) && s[i] != '"' {
		if s[i] == '\\' {
			i++
		}
		i++
	}
	return i + 1
}

func isNameByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= lowerASCII(c) && lowerASCII(c) <= 'z'
}

func FuzzJSONRPC(f *testing.F) {
	for _, body := range []string{
		call("get"), call("set"), "[" + call("get") + "]", "[]", `{"method":"get","Method":"set"}`, `{"result":1}`, `{"method":"get\u0000"}`,
		call("get") + call("set"), "\ufeff" + call("get"), `{"params":{"method":"set"},"method":"get"}`,
		tool(`{"name":"search_x","arguments":{"name":"delete"}}`), tool(`{"name":"delete"}`), tool(`{"name":"search_","Name":"x"}`), tool(`["search_"]`),
	} {
		f.Add([]byte(body))
	}
	a := rpcAPI(f, "get*", "tools/list", "tools/call:search_*")
	f.Fuzz(func(t *testing.T, body []byte) {
		access, err := a.Classify(post("application/json", ""), body)
		if err != nil || access != permission.Read {
			return
		}
		type request struct {
			Method string
			Params json.RawMessage
		}
		var batch []request
		if json.Unmarshal(body, &batch) != nil {
			batch = make([]request, 1)
			if err := json.Unmarshal(body, &batch[0]); err != nil {
				t.Fatalf("%q was classified, but is %v", body, err)
			}
		}
		for _, r := range batch {
			var params struct{ Name string }
			if r.Method == "tools/call" && json.Unmarshal(r.Params, &params) == nil && strings.HasPrefix(params.Name, "search_") {
				continue
			}
			if !strings.HasPrefix(r.Method, "get") && r.Method != "tools/list" {
				t.Fatalf("%q calls %q, and was taken for a read", body, r.Method)
			}
		}
	})
}

func FuzzForm(f *testing.F) {
	f.Add([]byte("a=b&_method=PUT"), "application/x-www-form-urlencoded")
	f.Add([]byte("a=b"), "")
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b--\r\n"), "multipart/form-data; boundary=b")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		r := post(contentType, "")
		if !IsForm(r) || MethodInForm(r, body) {
			return
		}
		// What Go's own form parser sees must not have the parameter.
		r.Body = http.NoBody
		clone := post(contentType, "")
		clone.Body = readCloser{bytes.NewReader(body)}
		if err := clone.ParseMultipartForm(1 << 20); err != nil && clone.Form == nil {
			return
		}
		for name := range clone.Form {
			if strings.EqualFold(name, "_method") {
				t.Fatalf("%q (%s) has a parameter %q", body, contentType, name)
			}
		}
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
