package route

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// maxGraphQLTokens bounds one document. The largest queries that people write
// have a few thousand tokens; data belongs into variables.
const maxGraphQLTokens = 50_000

// graphQLNames are the parameters of GraphQL over HTTP.
var graphQLNames = []string{"query", "operationName", "variables", "extensions"}

// storedNames are parameters by which servers with stored documents find the
// document. Beside a query, some servers take the query, others the stored
// document; alone, nobody here knows what it does.
var storedNames = []string{"id", "documentId", "document_id", "docId", "doc_id", "queryId", "query_id", "hash", "persistedQuery"}

// classifyGraphQL says what a GraphQL request needs.
func classifyGraphQL(r *http.Request, body []byte) (permission.Access, error) {
	switch r.Method {
	case http.MethodGet:
		return classifyGraphQLGet(r)
	case http.MethodPost:
		return classifyGraphQLPost(r, body)
	}
	return permission.None, unreadable("a %s is no GraphQL request: expected GET or POST", clip(r.Method))
}

func classifyGraphQLGet(r *http.Request) (permission.Access, error) {
	params, err := parseParameters(r.URL.RawQuery)
	if err != nil {
		return permission.None, err
	}
	if err := params.onlyExact(graphQLNames...); err != nil {
		return permission.None, err
	}
	if name := params.any(storedNames...); name != "" {
		return permission.None, unreadable("the parameter %q names a stored document: send the query itself", name)
	}
	request := jsonValue{kind: '{'}
	for _, name := range []string{"query", "operationName"} {
		if text, ok := params.get(name); ok {
			request.fields = append(request.fields, jsonField{name, jsonValue{kind: '"', text: text}})
		}
	}
	for _, name := range []string{"variables", "extensions"} {
		text, ok := params.get(name)
		if !ok || text == "" {
			continue
		}
		value, err := parseJSON([]byte(text), 3, graphQLLevels)
		if err != nil {
			return permission.None, unreadable("the parameter %s: %v", name, err)
		}
		request.fields = append(request.fields, jsonField{name, value})
	}
	return classifyOperation(&request)
}

func classifyGraphQLPost(r *http.Request, body []byte) (permission.Access, error) {
	if err := checkPostURL(r, graphQLNames, storedNames); err != nil {
		return permission.None, err
	}
	mediaType, params, err := contentType(r)
	if err != nil {
		return permission.None, err
	}
	switch mediaType {
	case "application/json":
		return classifyGraphQLJSON(body)
	case "application/graphql":
		request := jsonValue{kind: '{', fields: []jsonField{{"query", jsonValue{kind: '"', text: string(body)}}}}
		return classifyOperation(&request)
	case "multipart/form-data":
		operations, err := multipartOperations(body, params["boundary"])
		if err != nil {
			return permission.None, err
		}
		return classifyGraphQLJSON(operations)
	}
	return permission.None, unreadable("the Content-Type %q is not understood as GraphQL: expected application/json, application/graphql or multipart/form-data", clip(mediaType))
}

// classifyGraphQLJSON classifies one request or a batch of them.
func classifyGraphQLJSON(body []byte) (permission.Access, error) {
	// batch, request, extensions, persistedQuery, sha256Hash
	v, err := parseJSON(body, 5, graphQLLevels)
	if err != nil {
		return permission.None, err
	}
	return highest(&v, classifyOperation)
}

// highest classifies a request, or every request of a batch.
func highest(v *jsonValue, classify func(*jsonValue) (permission.Access, error)) (permission.Access, error) {
	switch {
	case v.kind == '{':
		return classify(v)
	case v.kind != '[':
		return permission.None, unreadable("the body is neither a JSON object nor a batch of them")
	case len(v.items) == 0:
		return permission.None, unreadable("the batch is empty")
	}
	needs := permission.None
	for i := range v.items {
		if v.items[i].kind != '{' {
			return permission.None, unreadable("the batch has something else than objects")
		}
		access, err := classify(&v.items[i])
		if err != nil {
			return permission.None, err
		}
		needs = max(needs, access)
	}
	return needs, nil
}

// classifyOperation classifies one GraphQL request by its parameters.
func classifyOperation(request *jsonValue) (permission.Access, error) {
	if err := request.onlyExact(graphQLNames...); err != nil {
		return permission.None, err
	}
	for _, name := range storedNames {
		for i := range request.fields {
			if equalFold(request.fields[i].name, name) && !request.fields[i].value.absent() {
				return permission.None, unreadable("%q names a stored document: send the query itself", name)
			}
		}
	}
	query, operation := request.get("query"), request.get("operationName")
	if query.kind != '"' {
		return permission.None, unreadable("the request has no query, or one that is not a string")
	}
	if !operation.absent() && operation.kind != '"' {
		return permission.None, unreadable("the operationName is not a string")
	}
	if err := checkPersisted(request, query.text); err != nil {
		return permission.None, err
	}
	return classifyDocument(query.text, operation.text)
}

// checkPersisted refuses a persisted query whose hash is not the query's: a
// server that looks at the hash first would execute another one.
func checkPersisted(request *jsonValue, query string) error {
	extensions := request.get("extensions")
	if extensions.absent() {
		return nil
	}
	if extensions.kind != '{' {
		return unreadable("the extensions are not an object")
	}
	if err := extensions.onlyExact("persistedQuery"); err != nil {
		return err
	}
	persisted := extensions.get("persistedQuery")
	if persisted.absent() {
		return nil
	}
	if err := persisted.onlyExact("sha256Hash", "version"); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(query))
	if hash := persisted.get("sha256Hash"); hash.kind != '"' || hash.text != hex.EncodeToString(sum[:]) {
		return unreadable("the sha256Hash of the persisted query is not that of the query")
	}
	return nil
}

// classifyDocument parses a GraphQL document and says what executing the named
// operation needs; without a name, the highest of its operations.
func classifyDocument(document, name string) (permission.Access, error) {
	if err := checkDocument(document); err != nil {
		return permission.None, err
	}
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: document}, maxGraphQLTokens)
	if err != nil {
		return permission.None, unreadable("the query is not a valid GraphQL document")
	}
	needs, found := permission.None, 0
	for _, operation := range parsed.Operations {
		if name == "" || operation.Name == name {
			needs = max(needs, accessOfOperation(operation.Operation))
			found++
		}
	}
	switch {
	case len(parsed.Operations) == 0:
		return permission.None, unreadable("the query has no operation")
	case found == 0:
		return permission.None, unreadable("the operationName %q is none of the query's", clip(name))
	case name != "" && found > 1:
		return permission.None, unreadable("the query has more than one operation %q", clip(name))
	}
	return needs, nil
}

// checkDocument refuses what GraphQL parsers read differently: after a block
// string, some take the first three quotes of a longer run for its end, some
// the last three; and the first drafts of GraphQL ended lines, and with them
// comments, at U+2028 and U+2029.
func checkDocument(document string) error {
	switch {
	case !utf8.ValidString(document):
		return unreadable("the query is not valid UTF-8")
	case strings.Contains(document, `""""`):
		return unreadable("the query has more than three quotes in a row")
	case strings.ContainsAny(document, "\u2028\u2029"):
		return unreadable("the query has a U+2028 or U+2029: write it escaped")
	case strings.Contains(document, "\x00"):
		return unreadable("the query has a NUL in it")
	}
	return nil
}

func accessOfOperation(o ast.Operation) permission.Access {
	if o == ast.Query {
		return permission.Read
	}
	return permission.Write
}
