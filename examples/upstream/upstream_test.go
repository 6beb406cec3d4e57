package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ask sends one request to the API and returns status and body.
func ask(t *testing.T, api http.Handler, method, target, body string, header ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func newAPI(t *testing.T) http.Handler {
	t.Helper()
	api, err := newHandler()
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestEveryRouteAnswers(t *testing.T) {
	api := newAPI(t)
	for _, c := range []struct {
		method, target, body string
		status               int
		contains             string
	}{
		{"GET", "/healthz", "", 200, "ok"},
		{"GET", "/docs/intro", "", 200, "example"},
		{"GET", "/rest/users", "", 200, `[{"id":"1","name":"Ada"},{"id":"2","name":"Grace"}]`},
		{"POST", "/rest/users", `{"name":"Mary"}`, 201, `{"id":"4","name":"Mary"}`},
		{"POST", "/rest/users", `{"name":" "}`, 422, "name is required"},
		{"POST", "/rest/users", `{`, 400, "not the JSON"},
		{"POST", "/rest/users", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, 413, "1 MiB"},
		{"GET", "/rest/users/4", "", 200, "Mary"},
		{"DELETE", "/rest/users/4", "", 200, `{"deleted":"4"}`},
		{"DELETE", "/rest/users/4", "", 404, "none"},
		{"GET", "/rest/users/4", "", 404, "none"},
		{"POST", "/rest/search", `{"text":"aD"}`, 200, `[{"id":"1","name":"Ada"}]`},
		{"GET", "/rest/orders", "", 200, "difference engine"},
		{"POST", "/rest/orders", `{"user":"2","item":"compiler"}`, 201, "compiler"},
		{"POST", "/rest/orders", `{"user":"99","item":"compiler"}`, 404, "none"},
		{"POST", "/v2/abc/run", `{"input":{"n":1}}`, 200, `{"id":"job-1","endpoint":"abc","status":"IN_QUEUE"}`},
		{"GET", "/v2/abc/status/job-1", "", 200, `"output":{"n":1}`},
		{"POST", "/v2/abc/status/job-1", "", 200, `"COMPLETED"`},
		{"GET", "/v2/other/status/job-1", "", 404, "none"},
		{"GET", "/v2/abc/purge", "", 200, `{"removed":1}`},
		{"GET", "/v2/abc/status/job-1", "", 404, "none"},
		{"GET", "/nowhere", "", 404, ""},
	} {
		status, body := ask(t, api, c.method, c.target, c.body)
		if status != c.status || !strings.Contains(body, c.contains) {
			t.Errorf("%s %s answered %d %s, want %d with %s", c.method, c.target, status, body, c.status, c.contains)
		}
	}
}

func TestGraphQLExecutesQueriesAndMutations(t *testing.T) {
	api := newAPI(t)
	for _, c := range []struct{ method, target, body, want string }{
		{"POST", "/graphql", `{"query":"{users{name}}"}`, `{"data":{"users":[{"name":"Ada"},{"name":"Grace"}]}}`},
		{"POST", "/graphql", `{"query":"mutation M($n:String!){addUser(name:$n){id name}}","variables":{"n":"Mary"}}`, `{"data":{"addUser":{"id":"4","name":"Mary"}}}`},
		{"GET", "/graphql?query=%7Buser(id:4)%7Bname%7D%7D", "", `{"data":{"user":{"name":"Mary"}}}`},
		{"GET", "/graphql?query=%7Buser(id:99)%7Bname%7D%7D", "", `{"data":{"user":null}}`},
		{"GET", "/graphql?query=query($i:ID!)%7Buser(id:$i)%7Bid%7D%7D&variables=%7B%22i%22:%221%22%7D", "", `{"data":{"user":{"id":"1"}}}`},
	} {
		status, body := ask(t, api, c.method, c.target, c.body)
		if status != http.StatusOK || body != c.want {
			t.Errorf("%s %s %s answered %d %s, want %s", c.method, c.target, c.body, status, body, c.want)
		}
	}
	if status, _ := ask(t, api, "PUT", "/graphql", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("PUT /graphql answered %d", status)
	}
	if status, _ := ask(t, api, "GET", "/graphql?query=%7Busers%7Bid%7D%7D&variables=1,", ""); status != http.StatusBadRequest {
		t.Errorf("bad variables answered %d", status)
	}
}

func TestRPCAnswersCallsAndBatches(t *testing.T) {
	api := newAPI(t)
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"jsonrpc":"2.0","id":1,"method":"orders.list"}`, 200, "difference engine"},
		{`{"jsonrpc":"2.0","id":2,"method":"orders.add","params":{"user":"1","item":"card"}}`, 200, `"item":"card"`},
		{`{"jsonrpc":"2.0","id":3,"method":"tools/list"}`, 200, "add_order"},
		{`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"add_order","arguments":{"user":"1","item":"loom"}}}`, 200, `"item":"loom"`},
		{`[{"jsonrpc":"2.0","id":5,"method":"orders.list"},{"jsonrpc":"2.0","method":"orders.list"}]`, 200, `"id":5`},
		{`{"jsonrpc":"2.0","method":"orders.list"}`, 202, ""},
		{`{"jsonrpc":"2.0","id":6,"method":"no"}`, 200, "-32601"},
		{`{"jsonrpc":"2.0","id":6,"method":"orders.add","params":3}`, 200, "-32602"},
		{`{"jsonrpc":"1.0","id":6,"method":"no"}`, 200, "-32600"},
		{`{`, 200, "-32700"},
		{`[1`, 200, "-32700"},
	} {
		status, body := ask(t, api, "POST", "/rpc", c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s answered %d %s, want %d with %s", c.body, status, body, c.status, c.want)
		}
	}
}

func TestWhoamiShowsTheIdentityAndNeverACredentialsValue(t *testing.T) {
	status, body := ask(t, newAPI(t), "GET", "/rest/whoami?api_key=hidden-1", "",
		"X-Auth-Key-Id", "key_1", "Authorization", "Bearer hidden-2", "X-API-Key", "hidden-3")
	var got caller
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	if got.Identity["X-Auth-Key-Id"] != "key_1" || len(got.Credentials) != 3 {
		t.Errorf("whoami says %s", body)
	}
	if strings.Contains(body, "hidden") {
		t.Errorf("whoami shows a credential: %s", body)
	}
}
