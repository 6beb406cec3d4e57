package route

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// post is a POST of a body of the given type; "" sends none.
func post(contentType, query string, headers ...string) *http.Request {
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/graphql", RawQuery: query}, Header: http.Header{}}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func get(query string) *http.Request {
	return &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/graphql", RawQuery: query}, Header: http.Header{}}
}

// verdict is the access in one word, or "refused: " and why.
func verdict(t testing.TB, a *API, r *http.Request, body string) string {
	t.Helper()
	access, err := a.Classify(r, []byte(body))
	if err == nil {
		return access.String()
	}
	var fault *BodyError
	if !errors.As(err, &fault) || access != permission.None {
		t.Errorf("%s with %T %v", access, err, err)
	}
	return "refused: " + err.Error()
}

// graphQLBody writes a request with a query, and members after it.
func graphQLBody(query string, members ...string) string {
	text, err := json.Marshal(query)
	if err != nil {
		panic(err)
	}
	return `{"query":` + string(text) + strings.Join(append([]string{""}, members...), ",") + "}"
}

var graphQLAPI = &API{Name: "graphql", GraphQL: &GraphQL{}}

func TestGraphQLDocuments(t *testing.T) {
	const two = "query Q {a} mutation M {b}"
	for _, c := range []struct{ name, document, operation, want string }{
		{"shorthand", "{a}", "", "read"},
		{"query", "query {a}", "", "read"},
		{"mutation", "mutation {a}", "", "write"},
		{"subscription", "subscription {a}", "", "write"},
		{"a field called mutation", "{mutation}", "", "read"},
		{"an operation called mutation", "query mutation {a}", "", "read"},
		{"a query called so in an argument", `{a(x: "mutation {b}")}`, "", "read"},
		{"a mutation in a comment", "# mutation {b}\n{a}", "", "read"},
		{"a mutation after a comment that CR ends", "{a} # x\rmutation {b}", "", "write"},
		{"a mutation in a block string", `{a(x: """ } mutation {b} """)}`, "", "read"},
		{"an alias", "{mutation: a}", "", "read"},
		{"variables and directives", "query Q($a: [Int!]! = [1] @x) @y {a(b: $a) @include(if: true) {c}}", "", "read"},
		{"fragments", "{...F} fragment F on T {a ... on U {b} ... @skip(if: $x) {c}}", "", "read"},
		{"a fragment before a mutation", "fragment F on T {a} mutation {...F}", "", "write"},
		{"two, the query", two, "Q", "read"},
		{"two, the mutation", two, "M", "write"},
		{"two, neither", two, "", "write"},
		{"two queries", "query A {a} query B {b}", "", "read"},
		{"two, another", two, "X", "refused: the operationName"},
		{"two, another letter case", two, "q", "refused: the operationName"},
		{"one, another", "{a}", "X", "refused: the operationName"},
		{"two of a name", "query Q {a} mutation Q {b}", "Q", "refused: the query has more than one"},
		{"an anonymous one beside", "{a} mutation M {b}", "", "write"},
		{"fragments alone", "fragment F on T {a}", "", "refused: the query has no operation"},
		{"nothing", "", "", "refused: the query has no operation"},
		{"a comment alone", "# mutation", "", "refused: the query has no operation"},
		{"no GraphQL", "SELECT 1", "", "refused: the query is not a valid"},
		{"unclosed", "{a", "", "refused: the query is not a valid"},
		{"a schema", "type Query {a: Int}", "", "refused: the query is not a valid"},
		{"another letter case", "Mutation {a}", "", "refused: the query is not a valid"},
		{"quotes that end a block string twice", `{a(x: """b"""" ) } mutation {c} # """)}`, "", "refused: the query has more than three quotes"},
		{"an empty block string", `{a(x: """""")}`, "", "refused: the query has more than three quotes"},
		{"a line separator", "{a} # \u2028 mutation {b}", "", "refused: the query has a U+2028"},
		{"a NUL", "{a}\x00mutation {b}", "", "refused: the query has a NUL"},
		{"deep", strings.Repeat("{a", 10_000) + strings.Repeat("}", 10_000), "", "refused: the query is not a valid"},
		{"long", "{" + strings.Repeat("a ", 60_000) + "}", "", "refused: the query is not a valid"},
		{"a byte order mark", "\ufeff{a}", "", "read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			member := fmt.Sprintf(`"operationName":%q`, c.operation)
			for name, got := range map[string]string{
				"POST JSON":  verdict(t, graphQLAPI, post("application/json; charset=UTF-8", "trace=1"), graphQLBody(c.document, member)),
				"GET":        verdict(t, graphQLAPI, get(url.Values{"query": {c.document}, "operationName": {c.operation}}.Encode()), ""),
				"batch":      verdict(t, graphQLAPI, post("application/json", ""), "[{\"query\":\"{a}\"},"+graphQLBody(c.document, member)+"]"),
				"multipart":  verdict(t, graphQLAPI, multipartPost(), multipartBody(graphQLBody(c.document, member))),
				"in capital": verdict(t, graphQLAPI, post("APPLICATION/JSON", ""), graphQLBody(c.document, member)),
			} {
				if !strings.HasPrefix(got, c.want) {
					t.Errorf("%s: %s, want %s", name, got, c.want)
				}
			}
			if c.operation != "" {
				return
			}
			if got := verdict(t, graphQLAPI, post("application/graphql", ""), c.document); !strings.HasPrefix(got, c.want) {
				t.Errorf("application/graphql: %s, want %s", got, c.want)
			}
		})
	}
}

// manyMembers are n members of an object: "name0":0,"name1":1 and so on.
func manyMembers(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`"name%d":%d`, i, i))
	}
	return strings.Join(out, ",")
}

func TestGraphQLBodies(t *testing.T) {
	sum := sha256.Sum256([]byte("{a}"))
	hash := hex.EncodeToString(sum[:])
	persisted := func(hash string) string {
		return fmt.Sprintf(`"extensions":{"persistedQuery":{"version":1,"sha256Hash":%q}}`, hash)
	}
	for _, c := range []struct{ name, body, want string }{
		{"null members", `{"query":"{a}","operationName":null,"variables":null,"extensions":null}`, "read"},
		{"variables", `{"query":"{a}","variables":{"Query":"mutation {b}","x":[{"id":"1","hash":"x"}]}}`, "read"},
		{"unknown members", `{"query":"{a}","debug":true,"traceId":"x"}`, "read"},
		{"an escaped mutation", `{"query":"\u006dutation {a}"}`, "write"},
		{"an escaped name", `{"\u0071uery":"mutation {a}"}`, "write"},
		{"white space around", " \r\n\t{\"query\":\"{a}\"}\n ", "read"},
		{"a batch", `[{"query":"{a}"},{"query":"mutation {b}"}]`, "write"},
		{"a batch of reads", `[{"query":"{a}"},{"query":"{b}"}]`, "read"},
		{"a batch with a faulty one", `[{"query":"mutation {a}"},{"query":"x"}]`, "refused: the query is not"},
		{"an empty batch", `[]`, "refused: the batch is empty"},
		{"a batch in a batch", `[[{"query":"{a}"}]]`, "refused: the batch has something else"},
		{"a batch of text", `["{a}"]`, "refused: the batch has something else"},
		{"a name twice", `{"query":"{a}","query":"mutation {b}"}`, "refused: the JSON has an object with the"},
		{"a name twice, once escaped", `{"query":"{a}","quer\u0079":"mutation {b}"}`, "refused: the JSON has an object with the"},
		{"a name in two letter cases", `{"query":"{a}","Query":"mutation {b}"}`, "refused: the JSON has an object with the name"},
		{"by Unicode's folding", `{"hash":1,"ha\u017fh":2,"query":"{a}"}`, "refused: the JSON has an object with the name"},
		{"a name twice further down", `{"query":"{a}","variables":{"x":{"y":[{"z":1,"Z":2}]}}}`, "refused: the JSON has an object with the name"},
		{"a name of another spelling alone", `{"Query":"{a}"}`, `refused: the JSON has the name "Query", expected "query"`},
		{"an operation name of another spelling", `{"query":"query Q {a} mutation M {b}","operationname":"M"}`, "refused: the JSON has the name"},
		{"extensions of another spelling", `{"query":"{a}","Extensions":{}}`, "refused: the JSON has the name"},
		{"many names", `{"query":"{a}","variables":{` + manyMembers(40) + `}}`, "read"},
		{"many names, and one again", `{"query":"{a}","variables":{` + manyMembers(40) + `,"NAME7":1}}`, "refused: the JSON has an object with the name"},
		{"few names in each of many objects", `{"query":"{a}","variables":{"x":[{"a":{"b":1},"c":2},{"a":{"c":1,"a":2},"b":3}],"y":{"x":1},"a":1}}`, "read"},
		{"an outer name again after an inner object", `{"query":"{a}","variables":{"x":{"y":1},"X":2}}`, "refused: the JSON has an object with the name"},
		{"a second value", `{"query":"{a}"}{"query":"mutation {b}"}`, "refused: the JSON goes on"},
		{"a second value after a line", "{\"query\":\"{a}\"}\nnull", "refused: the JSON goes on"},
		{"rubbish behind", `{"query":"{a}"}]`, "refused: the JSON goes on"},
		{"a byte order mark", "\ufeff{\"query\":\"{a}\"}", "refused: the body is not valid JSON"},
		{"UTF-16", "\xff\xfe{\x00", "refused: the body is not valid JSON"},
		{"invalid UTF-8", "{\"query\":\"{a(x:\\\"\xff\\\")}\"}", "refused: the body is not valid JSON"},
		{"half a surrogate", `{"query":"{a(x:\"\ud800\")}"}`, "refused: the body is not valid JSON"},
		{"a comment", `{"query":"{a}"/**/}`, "refused: the body is not valid JSON"},
		{"a comma too many", `{"query":"{a}",}`, "refused: the body is not valid JSON"},
		{"single quotes", `{'query':'{a}'}`, "refused: the body is not valid JSON"},
		{"NaN", `{"query":"{a}","variables":{"x":NaN}}`, "refused: the body is not valid JSON"},
		{"cut off", `{"query":"{a}"`, "refused: the body is"},
		{"a NUL in a name", `{"query\u0000":"mutation {b}","query":"{a}"}`, "refused: the JSON has a name with a NUL"},
		{"a NUL behind", "{\"query\":\"{a}\"}\x00", "refused: the JSON goes on"},
		{"empty", "", "refused: the body is empty"},
		{"null", "null", "refused: the body is neither"},
		{"text", `"{a}"`, "refused: the body is neither"},
		{"no query", `{"operationName":"Q"}`, "refused: the request has no query"},
		{"a null query", `{"query":null}`, "refused: the request has no query"},
		{"a query that is a list", `{"query":["{a}"]}`, "refused: the request has no query"},
		{"an operation name that is a number", `{"query":"{a}","operationName":1}`, "refused: the operationName is not a string"},
		{"too deep", `{"query":"{a}","variables":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}", "refused: the JSON nests deeper"},
		{"far too deep", strings.Repeat("[", 500_000), "refused: the JSON nests deeper"},
		{"a persisted query", graphQLBody("{a}", persisted(hash)), "read"},
		{"a persisted mutation's hash", graphQLBody("{a}", persisted(strings.Repeat("0", 64))), "refused: the sha256Hash"},
		{"a hash in capitals", graphQLBody("{a}", persisted(strings.ToUpper(hash))), "refused: the sha256Hash"},
		{"an empty hash", graphQLBody("{a}", persisted("")), "refused: the sha256Hash"},
		{"a hash alone", "{" + persisted(hash) + "}", "refused: the request has no query"},
		{"no hash", graphQLBody("{a}", `"extensions":{"persistedQuery":{}}`), "refused: the sha256Hash"},
		{"a hash of another spelling", graphQLBody("{a}", `"extensions":{"persistedQuery":{"sha256hash":"x"}}`), "refused: the JSON has the name"},
		{"a persisted query of another spelling", graphQLBody("{a}", `"extensions":{"persistedquery":{}}`), "refused: the JSON has the name"},
		{"a persisted query that is text", graphQLBody("{a}", `"extensions":{"persistedQuery":"x"}`), "refused: the sha256Hash"},
		{"extensions that are text", graphQLBody("{a}", `"extensions":"x"`), "refused: the extensions"},
		{"a null persisted query", graphQLBody("{a}", `"extensions":{"persistedQuery":null,"x":1}`), "read"},
		{"a stored document", graphQLBody("{a}", `"documentId":"sha256:x"`), `refused: "documentId" names a stored document`},
		{"a stored document of another spelling", graphQLBody("{a}", `"DocumentID":"x"`), `refused: "documentId" names a stored document`},
		{"an id of null", graphQLBody("{a}", `"id":null`), "read"},
	} {
		if got := verdict(t, graphQLAPI, post("application/json", ""), c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestGraphQLRequestsThatTwoReadersCouldReadDifferently(t *testing.T) {
	const read = `{"query":"{a}"}`
	twice := post("application/json", "")
	twice.Header.Add("Content-Type", "application/graphql")
	head := get("query={a}")
	head.Method = http.MethodHead
	put := post("application/json", "")
	put.Method = http.MethodPut
	lower := post("application/json", "")
	lower.Method = "post"
	for _, c := range []struct {
		name, body, want string
		r                *http.Request
	}{
		{"GET without query", "", "refused: the request has no query", get("")},
		{"GET with an empty query", "", "refused: the query has no operation", get("query=")},
		{"GET with a mutation", "", "write", get("query=mutation{a}")},
		{"GET with variables", "", "read", get("query={a}&variables=%7B%22a%22:1%7D&extensions=")},
		{"GET with faulty variables", "", "refused: the parameter variables", get("query={a}&variables={")},
		{"GET with a body", read, "refused: a GET with a body", get("query={a}")},
		{"GET with the query twice", "", "refused: the URL has the parameter", get("query={a}&query=mutation{b}")},
		{"GET with the query in two letter cases", "", "refused: the URL has the parameter", get("query={a}&Query=mutation{b}")},
		{"GET with the query also as a list", "", "refused: the URL has the parameter", get("query={a}&query[]=mutation{b}")},
		{"GET with the query also encoded", "", "refused: the URL has the parameter", get("query={a}&quer%79=mutation{b}")},
		{"GET with the query also up to NUL", "", "refused: the URL has the parameter", get("query={a}&query%00=mutation{b}")},
		{"GET with the query also after a space", "", "refused: the URL has the parameter", get("query={a}&+query=mutation{b}")},
		{"GET with the query in capitals", "", "refused: the URL has the parameter query in another spelling", get("QUERY={a}")},
		{"GET with any parameter twice", "", "refused: the URL has the parameter", get("query={a}&x=1&x=2")},
		{"GET with a semicolon", "", "refused: the URL has a ;", get("query={a};query=mutation{b}")},
		{"GET with a faulty escape", "", "refused: the URL has a parameter that is not", get("query={a}&x=%zz")},
		{"GET with invalid UTF-8", "", "refused: the URL has a parameter that is not", get("query={a}&x=%ff")},
		{"GET with a hash alone", "", "refused: the request has no query", get(`extensions={"persistedQuery":{"sha256Hash":"x"}}`)},
		{"GET with another's hash", "", "refused: the sha256Hash", get(`query={a}&extensions={"persistedQuery":{"sha256Hash":"x"}}`)},
		{"GET with a stored document", "", "refused: the parameter", get("query={a}&documentId=x")},
		{"HEAD", "", "refused: a HEAD is no GraphQL", head},
		{"PUT", read, "refused: a PUT is no GraphQL", put},
		{"post", read, "refused: a post is no GraphQL", lower},
		{"POST with query in the URL", read, "refused: the URL of a POST", post("application/json", "query=mutation{a}")},
		{"POST with operationName in the URL", read, "refused: the URL of a POST", post("application/json", "OperationName=x")},
		{"POST with variables in the URL", read, "refused: the URL of a POST", post("application/json", "variables=x")},
		{"POST with a stored document in the URL", read, "refused: the URL of a POST", post("application/json", "doc_id=x")},
		{"POST with a query list in the URL", read, "refused: the URL of a POST", post("application/graphql", "query[0]=x")},
		{"POST with _method in the URL", read, "refused: the URL has a _method", post("application/json", "_method=PUT")},
		{"POST whose type a proxy would drop", read, "refused: the Connection header", post("application/json", "", "Connection: keep-alive, content-type")},
		{"POST without type", read, "refused: the request has no Content-Type", post("", "")},
		{"POST with two types", read, "refused: the Content-Type is there more", twice},
		{"POST of a form", "query={a}", "refused: the Content-Type", post("application/x-www-form-urlencoded", "")},
		{"POST of text", read, "refused: the Content-Type", post("text/plain", "")},
		{"POST of two types in one", read, "refused: the Content-Type", post("application/json, application/graphql", "")},
		{"POST with a malformed type", read, "refused: the Content-Type is malformed", post("application/json; charset", "")},
		{"POST in another charset", read, "refused: the charset", post("application/json; charset=utf-16", "")},
		{"POST in UTF-7", read, "refused: the charset", post("application/graphql; charset=utf-7", "")},
		{"POST compressed", read, "refused: a Content-Encoding", post("application/json", "", "Content-Encoding: gzip")},
		{"POST with the encoding identity", read, "refused: a Content-Encoding", post("application/json", "", "Content-Encoding: identity")},
	} {
		if got := verdict(t, graphQLAPI, c.r, c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func multipartPost() *http.Request { return post("multipart/form-data; boundary=b0", "") }

// multipartPart is one part, by the parameters of its disposition.
func multipartPart(disposition, content string, headers ...string) string {
	return "--b0\r\nContent-Disposition: form-data; " + disposition + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n" + content + "\r\n"
}

func multipartBody(operations string, more ...string) string {
	return multipartPart(`name="operations"`, operations) + multipartPart(`name="map"`, `{"0":["variables.file"]}`) +
		strings.Join(more, "") + multipartPart(`name="0"; filename="a.txt"`, "mutation {b}\r\n--b1", "Content-Type: text/plain") + "--b0--\r\n"
}

func TestGraphQLMultipart(t *testing.T) {
	const read, write = `{"query":"{a}"}`, `{"query":"mutation {a}"}`
	operations, mapping, end := multipartPart(`name="operations"`, read), multipartPart(`name="map"`, "{}"), "--b0--\r\n"
	for _, c := range []struct{ name, body, want string }{
		{"read", multipartBody(read), "read"},
		{"write", multipartBody(write), "write"},
		{"batch", multipartBody("[" + read + "," + write + "]"), "write"},
		{"no files", operations + mapping + end, "read"},
		{"typed", multipartPart("name=operations", read, "Content-Type: application/json; charset=utf-8") + mapping + end, "read"},
		{"operations twice", multipartBody(read, multipartPart(`name="operations"`, write)), "refused: the multipart body has the part"},
		{"operations twice, first", multipartPart(`name="operations"`, write) + multipartBody(read), "refused: the multipart body has another part"},
		{"a query beside", multipartBody(read, multipartPart(`name="query"`, "mutation {b}")), "refused: the multipart body has the part"},
		{"map first", mapping + operations + end, "refused: the multipart body has another part"},
		{"no map", operations + end, "refused: the multipart body has no field"},
		{"operations as a file", multipartPart(`name="operations"; filename="x"`, read) + mapping + end, "refused: the multipart body has another part"},
		{"a file twice", multipartBody(read, multipartPart(`name="0"`, "x")), "refused: the multipart body has the part"},
		{"an encoded part", multipartPart("name=operations", read, "Content-Transfer-Encoding: base64") + mapping + end, "refused: the multipart body has an encoded part"},
		{"another charset", multipartPart("name=operations", read, "Content-Type: application/json; charset=utf-16") + mapping + end, "refused: the multipart body has a part with a malformed Content-Type"},
		{"a name twice", multipartPart(`name="operations"; name="x"`, read) + mapping + end, "refused: the multipart body has a part with a malformed"},
		{"a name in another encoding", multipartPart(`name="operations"; name*=UTF-8''x`, read) + mapping + end, "refused: the multipart body has a part"},
		{"a name that needs decoding", multipartPart(`name="oper%61tions"`, read) + mapping + end, "refused: the multipart body has a part with a name"},
		{"two dispositions", multipartPart("name=x", read, "Content-Disposition: form-data; name=operations") + mapping + end, "refused: the multipart body has a part without one"},
		{"a preamble", "hello\r\n" + operations + mapping + end, "refused: the multipart body does not begin"},
		{"a boundary inside a part", multipartPart("name=operations", `{"query":"{a}","x":"--b0"}`) + mapping + end, "refused: the multipart body has its boundary inside"},
		{"after the end", operations + mapping + end + operations + end, "refused: the multipart body has its boundary inside"},
		{"no end", operations + mapping, "refused: the multipart body does not end"},
		{"cut off in a header", operations + mapping + "--b0\r\nContent-Dis", "refused: the multipart body does not end"},
		{"an epilogue", operations + mapping + end + "x", "refused: the multipart body does not end"},
		{"lines ended by LF", strings.ReplaceAll(operations+mapping+end, "\r\n", "\n"), "refused: the multipart body does not begin"},
		{"empty", "", "refused: the multipart body does not begin"},
		{"a file called _method", operations + multipartPart("name=map", `{"_method":[]}`) + multipartPart("name=_method", "PUT") + end, "refused: the multipart body has the part"},
		{"a map that is no object", operations + multipartPart("name=map", "[]") + end, "refused: the field map"},
		{"a map that is no JSON", operations + multipartPart("name=map", "{") + end, "refused: the field map"},
		{"a map with a name twice", operations + multipartPart("name=map", `{"a":[],"A":[]}`) + end, "refused: the field map"},
		{"a file for the query", operations + multipartPart("name=map", `{"0":["query"]}`) + multipartPart("name=0", "mutation {b}") + end, "refused: the field map puts a file in another place"},
		{"a file for a query of a batch", multipartPart("name=operations", "["+read+"]") + multipartPart("name=map", `{"0":["0.variables.f","0.query"]}`) + multipartPart("name=0", "mutation {b}") + end, "refused: the field map puts a file in another place"},
		{"a file for a variable of a batch", multipartPart("name=operations", "["+read+"]") + multipartPart("name=map", `{"0":["0.variables.f"]}`) + multipartPart("name=0", "mutation {b}") + end, "read"},
		{"a file for no place", operations + multipartPart("name=map", `{"0":"variables.f"}`) + multipartPart("name=0", "") + end, "refused: the field map has something else"},
		{"a file for what is no place", operations + multipartPart("name=map", `{"0":[["variables.f"]]}`) + multipartPart("name=0", "") + end, "refused: the field map puts a file in another place"},
		{"operations that are no JSON", multipartPart("name=operations", "{a}") + mapping + end, "refused: the body is not valid JSON"},
	} {
		if got := verdict(t, graphQLAPI, multipartPost(), c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := verdict(t, graphQLAPI, post("multipart/form-data", ""), operations+mapping+end); !strings.HasPrefix(got, "refused: the multipart body has no boundary") {
		t.Error(got)
	}
}
