package attack

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"
	graphql "github.com/graph-gophers/graphql-go"
)

// api is a server of GraphQL and JSON-RPC that reads a request in every way in
// which some server does, carries out all that it finds, and counts what was
// changed, by whom.
type api struct {
	mu     sync.Mutex
	counts map[string]int
}

// changes counts what one request changed.
type changes struct{ n int }

const schemaText = `
type Query { users(name: String): [String!] user(id: ID): String }
type Mutation { addUser(name: String): String dropUser(id: ID): String }
`

// Users answers the query of that name.
func (*changes) Users(struct{ Name *string }) *[]string { return &[]string{"a"} }

// User answers the query of that name.
func (*changes) User(struct{ ID *graphql.ID }) *string { return new(string) }

// AddUser is a mutation.
func (c *changes) AddUser(struct{ Name *string }) *string { return c.count() }

// DropUser is a mutation.
func (c *changes) DropUser(struct{ ID *graphql.ID }) *string { return c.count() }

func (c *changes) count() *string {
	c.n++
	return new(string)
}

func apiUpstream(t testing.TB) upstream {
	t.Helper()
	a := &api{counts: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tally", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		_ = json.NewEncoder(w).Encode(a.counts) // the test misses what is not there
	})
	mux.HandleFunc("/graphql", a.carryOut(func(ctx context.Context, c *changes, call map[string]string) {
		schema := graphql.MustParseSchema(schemaText, c)
		_ = schema.Exec(ctx, call["query"], call["operationname"], nil) // its errors are answers
	}))
	mux.HandleFunc("/rpc", a.carryOut(func(_ context.Context, c *changes, call map[string]string) {
		if method := call["method"]; method != "" && method != "orders.list" && method != "tools/list" && (method != "tools/call" || !strings.HasPrefix(call["name"], "search_")) {
			c.count()
		}
	}))
	return upstream{name: "go", address: listen(t, mux)}
}

func (a *api) carryOut(do func(context.Context, *changes, map[string]string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var done changes
		for _, call := range calls(r, body) {
			do(r.Context(), &done, call)
		}
		id := r.Header.Get("X-Auth-Key-Id")
		a.mu.Lock()
		if done.n > 0 {
			a.counts[id] += done.n
		}
		a.mu.Unlock()
		w.Header().Set("X-Changes", strconv.Itoa(done.n))
		w.Header().Set("X-Attack", r.Header.Get("X-Attack"))
		w.Header().Set("X-Who", who(r.Header))
	}
}

// calls finds all calls in a request, names of members in lower case.
func calls(r *http.Request, body []byte) []map[string]string {
	inURL := fromValues(r.URL.Query())
	found := fromBody(r, body)
	for _, call := range found {
		for name, value := range inURL {
			mixed := map[string]string{}
			for n, v := range call {
				mixed[n] = v
			}
			mixed[name] = value
			found = append(found, mixed)
		}
	}
	return append(found, inURL)
}

func fromValues(values url.Values) map[string]string {
	call := map[string]string{}
	for name, v := range values {
		call[strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "[]"))] = v[len(v)-1]
	}
	return call
}

func fromBody(r *http.Request, body []byte) []map[string]string {
	if plain, err := unzip(body); err == nil {
		body = plain
	}
	text := strings.TrimPrefix(decodeUTF16(body), "\ufeff")
	mediaType, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case strings.HasPrefix(mediaType, "multipart/"):
		return fromMultipart(text, params["boundary"])
	case mediaType == "application/x-www-form-urlencoded":
		values, _ := url.ParseQuery(text) // as much of it as can be read
		return []map[string]string{fromValues(values)}
	case mediaType == "application/graphql":
		return []map[string]string{{"query": text}}
	}
	return fromJSON(text)
}

func unzip(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, 8<<20))
}

// decodeUTF16 decodes what has a byte order mark, or NULs where text in UTF-16
// has them.
func decodeUTF16(body []byte) string {
	var order binary.ByteOrder
	switch {
	case len(body) < 2 || len(body)%2 != 0:
		return string(body)
	case body[0] == 0xfe && body[1] == 0xff || body[0] == 0:
		order = binary.BigEndian
	case body[0] == 0xff && body[1] == 0xfe || body[1] == 0:
		order = binary.LittleEndian
	default:
		return string(body)
	}
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = order.Uint16(body[2*i:])
	}
	return string(utf16.Decode(units))
}

// fromMultipart reads fields of a form, and of a multipart request of GraphQL
// also the files that the field map puts in the place of a query.
func fromMultipart(text, boundary string) []map[string]string {
	var found []map[string]string
	var files map[string][]string
	reader := multipart.NewReader(strings.NewReader(text), boundary)
	for {
		part, err := reader.NextPart()
		if err != nil {
			return found
		}
		value, _ := io.ReadAll(part) // as much of it as there is
		name := part.FormName()
		isQuery := func(path string) bool { return path == "query" || strings.HasSuffix(path, ".query") }
		switch {
		case name == "operations":
			found = append(found, fromJSON(string(value))...)
		case name == "map":
			_ = json.Unmarshal(value, &files) // as far as it is one
		case name == "query" || slices.ContainsFunc(files[name], isQuery):
			found = append(found, map[string]string{"query": string(value)})
		}
	}
}

// fromJSON reads every value of a text, passes over what is none, and of names
// that repeat takes the first and the last.
func fromJSON(text string) []map[string]string {
	var found []map[string]string
	for {
		in := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		for {
			value, err := in.ReadValue()
			if err != nil {
				break
			}
			found = append(found, fromValue(value)...)
		}
		// What stands before the next brace may be a comment.
		next := strings.IndexByte(text[min(len(text), int(in.InputOffset())+1):], '{')
		if next < 0 {
			return found
		}
		text = text[int(in.InputOffset())+1+next:]
	}
}

func fromValue(value jsontext.Value) []map[string]string {
	var list []jsontext.Value
	if json.Unmarshal(value, &list) == nil {
		var found []map[string]string
		for _, v := range list {
			found = append(found, fromValue(v)...)
		}
		return found
	}
	first, last := map[string]string{}, map[string]string{}
	err := eachMember(value, func(name, text string) {
		if _, ok := first[name]; !ok {
			first[name] = text
		}
		last[name] = text
	})
	if err != nil {
		return nil
	}
	return []map[string]string{first, last}
}

// eachMember calls f with the members of an object that are text, and with
// those of the object params in it.
func eachMember(value jsontext.Value, f func(name, text string)) error {
	in := jsontext.NewDecoder(bytes.NewReader(value), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if token, err := in.ReadToken(); err != nil || token.Kind() != '{' {
		return errors.New("no object")
	}
	for in.PeekKind() == '"' {
		token, err := in.ReadToken()
		if err != nil {
			return err
		}
		name := strings.ToLower(strings.ReplaceAll(token.String(), "ſ", "s"))
		member, err := in.ReadValue()
		if err != nil {
			return err
		}
		if name == "params" {
			_ = eachMember(member, f) // it may be a list
			continue
		}
		var text string
		if json.Unmarshal(member, &text) == nil {
			f(name, text)
		}
	}
	return nil
}
