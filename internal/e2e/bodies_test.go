package e2e

import (
	"bytes"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// What was read to decide is what the upstream receives, byte for byte.
func TestBodiesArriveByteForByte(t *testing.T) {
	g, upstream := start(t)
	key := g.Create(nil)
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	// In this order, which the GraphQL multipart request specification asks for.
	for _, field := range [][2]string{
		{"operations", `{"query":"mutation($f:Upload!){up(f:$f)}","variables":{"f":null}}`}, {"map", `{"0":["variables.f"]}`}, {"0", "the file"},
	} {
		if err := parts.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := parts.Close(); err != nil {
		t.Fatal(err)
	}
	binary := make([]byte, 3<<20)
	for i := range binary {
		binary[i] = byte(rand.IntN(256)) // any bytes do
	}
	for _, c := range []struct{ name, target, typ, body string }{
		{"graphql with odd spaces", "/graphql", "application/json", " \t\n{ \"query\" :\r\n \"{ a # b\\n }\" }\n\n"},
		{"graphql with escapes", "/graphql", "application/json; charset=utf-8", `{"query":"{a(b:\"\u00e9\ud83d\ude00\")}"}`},
		{"graphql as a document", "/graphql", "application/graphql", "query Q { a }\n# the end"},
		{"graphql with an upload", "/graphql", parts.FormDataContentType(), form.String()},
		{"graphql almost too large", "/graphql", "application/json", `{"query":"{a}","variables":{"x":"` + strings.Repeat("x", 1<<20-50) + `"}}`},
		{"json-rpc", "/rpc", "application/json", "\n[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"orders.list\"} ]  "},
		{"what is not read", "/rest/users", "application/octet-stream", string(binary)},
	} {
		t.Run(c.name, func(t *testing.T) {
			Expect(t, g.Call("POST", c.target, c.body, Bearer(key.Secret), Header{"Content-Type", c.typ}), http.StatusOK, "")
			got := upstream.Last(t)
			if !bytes.Equal(got.Body, []byte(c.body)) {
				t.Errorf("%d bytes arrived that are not the %d that were sent", len(got.Body), len(c.body))
			}
			if got.Header.Get("Content-Type") != c.typ {
				t.Errorf("Content-Type arrived as %q", got.Header.Get("Content-Type"))
			}
		})
	}
}

func TestReadKeyQueriesAndDoesNotMutate(t *testing.T) {
	g, upstream := start(t)
	reader := g.Create(map[string]any{"permissions": Restricted(map[string]any{
		"graphql": map[string]any{"access": "read"}, "rpc": map[string]any{"access": "read"},
	})})
	json := Header{"Content-Type", "application/json"}
	for _, c := range []struct {
		target, body string
		status       int
		code         string
	}{
		{"/graphql", `{"query":"{users{id}}"}`, 200, ""},
		{"/graphql", `{"query":"# mutation\n{mutation}"}`, 200, ""},
		{"/graphql", `{"query":"query Q{a:mutation(b:\"mutation {c}\")}"}`, 200, ""},
		{"/graphql", `{"query":"mutation{a}"}`, 403, "insufficient_access"},
		{"/graphql", `{"query":"subscription{a}"}`, 403, "insufficient_access"},
		{"/graphql", `{"query":"query A{a} mutation B{b}","operationName":"B"}`, 403, "insufficient_access"},
		{"/graphql", `{"query":"query A{a} mutation B{b}","operationName":"C"}`, 400, "unreadable_body"},
		{"/graphql", `{"query":"{a}","query":"mutation{b}"}`, 400, "unreadable_body"},
		{"/graphql", `{"query":"{a}","Query":"mutation{b}"}`, 400, "unreadable_body"},
		{"/graphql", `{"query":"{a}"}{"query":"mutation{b}"}`, 400, "unreadable_body"},
		{"/graphql", `{"query":"fragment F on T{a}"}`, 400, "unreadable_body"},
		{"/graphql", `{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"abc"}}}`, 400, "unreadable_body"},
		{"/graphql", ``, 400, "unreadable_body"},
		{"/graphql?query=mutation%7Ba%7D", `{"query":"{a}"}`, 400, "unreadable_body"},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"orders.list"}`, 200, ""},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"tools/"}`, 200, ""},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"orders.listx"}`, 403, "insufficient_access"},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"orders.list\u0000"}`, 400, "unreadable_body"},
		{"/rpc", `{"jsonrpc":"2.0","id":1,"method":"orders.list","method":"orders.add"}`, 400, "unreadable_body"},
		{"/rpc", `{"jsonrpc":"2.0","id":1}`, 400, "unreadable_body"},
	} {
		t.Run(c.target+" "+c.body, func(t *testing.T) {
			before := upstream.Count()
			Expect(t, g.Call("POST", c.target, c.body, Bearer(reader.Secret), json), c.status, c.code)
			if reached := upstream.Count() > before; reached != (c.status == 200) {
				t.Errorf("reached the upstream: %t", reached)
			}
		})
	}
	compressed := g.Call("POST", "/graphql", `{"query":"{a}"}`, Bearer(reader.Secret), json, Header{"Content-Encoding", "gzip"})
	Expect(t, compressed, http.StatusBadRequest, "unreadable_body")
}

// A refusal does not wait for a body that the client has yet to send.
func TestRefusalComesBeforeTheBody(t *testing.T) {
	g, _ := start(t)
	reader := g.Create(map[string]any{"permissions": map[string]any{"mode": "read_only"}})
	head := "POST /rest/users HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\nContent-Type: application/json\r\n"
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		Expect(t, g.Raw(head+expect+"\r\n"), http.StatusUnauthorized, "missing_key")
		Expect(t, g.Raw(head+expect+"X-API-Key: "+reader.Secret+"\r\n\r\n"), http.StatusForbidden, "insufficient_access")
	}
}

// A connection that is closed while the client still sends is reset, and a
// reset can take the answer away from the client.
func TestRefusalReachesAClientThatIsStillSending(t *testing.T) {
	g, _ := start(t)
	reader := g.Create(map[string]any{"permissions": map[string]any{"mode": "read_only"}})
	big := `{"query":"{a}","x":"` + strings.Repeat("x", 2<<20) + `"}`
	json := Header{"Content-Type", "application/json"}
	for range 20 {
		Expect(t, g.Call("POST", "/graphql", big, json), http.StatusUnauthorized, "missing_key")
		Expect(t, g.Call("POST", "/graphql", big, json, Bearer(reader.Secret)), http.StatusRequestEntityTooLarge, "body_too_large")
		Expect(t, g.Call("POST", "/rest/users", big, json, Bearer(reader.Secret)), http.StatusForbidden, "insufficient_access")
	}
}
