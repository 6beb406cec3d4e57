package route

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// rpcAPI is a compiled API, as its methods are read at load.
func rpcAPI(t testing.TB, read ...string) *API {
	t.Helper()
	table := mustCompile(t, Config{APIs: []API{{Name: "rpc", Paths: sources("/rpc"), JSONRPC: &JSONRPC{Read: read}}}})
	return table.APIs()[0]
}

func call(method string) string { return `{"jsonrpc":"2.0","id":1,"method":"` + method + `"}` }

func TestJSONRPCMethods(t *testing.T) {
	a := rpcAPI(t, "eth_call", "get*", "tools/list", "日*")
	for method, want := range map[string]string{
		"eth_call": "read", "get": "read", "getBalance": "read", "tools/list": "read", "日本": "read", `eth\u005fcall`: "read",
		"eth_callX": "write", "eth_cal": "write", "ETH_CALL": "write", "Get": "write", "ge": "write", " get": "write", "get*": "read",
		"tools/call": "write", "": "write", "*": "write", `get\u0000`: "refused: the method has a NUL", `eth_call\u0000x`: "refused: the method has a NUL",
	} {
		for name, body := range map[string]string{"call": call(method), "batch": "[" + call("get") + "," + call(method) + "]"} {
			if got := verdict(t, a, post("application/json", ""), body); !strings.HasPrefix(got, want) {
				t.Errorf("%s %q: %s, want %s", name, method, got, want)
			}
		}
	}
	all := rpcAPI(t, "*")
	if got := verdict(t, all, post("application/json", ""), call("anything")); got != "read" {
		t.Errorf("with * : %s", got)
	}
	none := rpcAPI(t)
	if got := verdict(t, none, post("application/json", ""), call("get")); got != "write" {
		t.Errorf("with no method listed: %s", got)
	}
}

func TestJSONRPCBodies(t *testing.T) {
	a := rpcAPI(t, "get*")
	for _, c := range []struct{ name, body, want string }{
		{"a notification", `{"jsonrpc":"2.0","method":"get"}`, "read"},
		{"parameters", `{"jsonrpc":"2.0","method":"get","params":{"method":"delete","Method":[1,{"x":2}]},"id":null}`, "refused: the JSON has an object with the name"},
		{"parameters that look like a call", `{"method":"get","params":{"Method":"delete","x":[{"METHOD":1}]}}`, "read"},
		{"an answer", `{"jsonrpc":"2.0","id":1,"result":{}}`, "write"},
		{"a failed answer", `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, "write"},
		{"an answer of null", `{"jsonrpc":"2.0","id":1,"result":null}`, "write"},
		{"an answer twice", `{"jsonrpc":"2.0","id":1,"result":1,"error":2}`, "refused: the call has no method"},
		{"an answer in a batch", `[{"method":"get"},{"result":1}]`, "write"},
		{"neither", `{"jsonrpc":"2.0","id":1}`, "refused: the call has no method"},
		{"a batch of a write", "[" + call("get") + "," + call("set") + "]", "write"},
		{"an empty batch", "[]", "refused: the batch is empty"},
		{"a batch in a batch", "[[" + call("get") + "]]", "refused: the batch has something else"},
		{"a batch with a number", "[1]", "refused: the batch has something else"},
		{"a method twice", `{"method":"get","method":"set"}`, "refused: the JSON has an object with the"},
		{"a method in two letter cases", `{"method":"get","Method":"set"}`, "refused: the JSON has an object with the"},
		{"a method in capitals", `{"METHOD":"set"}`, "refused: the JSON has the name"},
		{"a long s in params", `{"method":"get","param\u017f":1}`, "refused: the JSON has the name"},
		{"a method of null", `{"method":null,"result":1}`, "refused: the call has no method"},
		{"a method that is a list", `{"method":["get"]}`, "refused: the call has no method"},
		{"a second value", call("get") + call("set"), "refused: the JSON goes on"},
		{"lines of JSON", call("get") + "\n" + call("set"), "refused: the JSON goes on"},
		{"a byte order mark", "\ufeff" + call("get"), "refused: the body is not valid JSON"},
		{"invalid UTF-8", "{\"method\":\"get\xff\"}", "refused: the body is not valid JSON"},
		{"empty", "", "refused: the body is empty"},
		{"text", `"get"`, "refused: the body is neither"},
	} {
		if got := verdict(t, a, post("application/json", ""), c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestJSONRPCRequests(t *testing.T) {
	a := rpcAPI(t, "get*")
	request := func(method, query string, accept ...string) *http.Request {
		return &http.Request{Method: method, URL: &url.URL{Path: "/rpc", RawQuery: query}, Header: http.Header{"Accept": accept}}
	}
	for _, c := range []struct {
		name, body, want string
		r                *http.Request
	}{
		{"listening", "", "read", request("GET", "", "text/event-stream")},
		{"listening, among others", "", "read", request("GET", "session=1", "application/json, Text/Event-Stream;q=0.5")},
		{"listening, in a second line", "", "read", request("GET", "", "application/json", "text/event-stream")},
		{"a GET", "", "write", request("GET", "")},
		{"a GET of anything", "", "write", request("GET", "", "*/*")},
		{"a GET of text", "", "write", request("GET", "", "text/*")},
		{"a GET that does not want a stream", "", "write", request("GET", "", "text/event-stream;q=0.0")},
		{"a GET of something alike", "", "write", request("GET", "", "text/event-streams, x/text/event-stream")},
		{"a call by GET", "", "write", request("GET", "method=get", "text/event-stream")},
		{"a call by GET in capitals", "", "write", request("GET", "METHOD=get", "text/event-stream")},
		{"a call by GET as a list", "", "write", request("GET", "method[]=get", "text/event-stream")},
		{"a call by GET, encoded", "", "write", request("GET", "%6dethod=get", "text/event-stream")},
		{"a GET with a faulty parameter", "", "refused: the URL", request("GET", "%zz", "text/event-stream")},
		{"a GET with a parameter twice", "", "refused: the URL", request("GET", "a=1&A=2", "text/event-stream")},
		{"a GET with a body", call("set"), "refused: a GET with a body", request("GET", "", "text/event-stream")},
		{"DELETE, which ends a session", "", "write", request("DELETE", "")},
		{"HEAD", "", "write", request("HEAD", "", "text/event-stream")},
		{"PUT", call("get"), "write", request("PUT", "")},
		{"another type", call("get"), "refused: the Content-Type", post("text/plain", "")},
		{"no type", call("get"), "refused: the request has no Content-Type", post("", "")},
		{"another charset", call("get"), "refused: the charset", post("application/json; charset=latin1", "")},
		{"a method in the URL", call("get"), "refused: the URL of a POST", post("application/json", "Method=set")},
		{"an encoding", call("get"), "refused: a Content-Encoding", post("application/json", "", "Content-Encoding: br")},
		{"its own type", call("get"), "read", post("application/json-rpc", "v=1")},
	} {
		if got := verdict(t, a, c.r, c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := verdict(t, &API{}, get(""), ""); got != "write" {
		t.Errorf("an API that the body does not decide on: %s", got)
	}
}

func TestBodiesAreAskedForWhereTheyDecide(t *testing.T) {
	table := mustCompile(t, Config{APIs: []API{
		{Name: "g", Paths: sources("/g"), GraphQL: &GraphQL{}, Rules: rules("write GET /g", "read WEBSOCKET /g")},
		{Name: "h", Paths: sources("/h"), GraphQL: &GraphQL{}, Rules: rules("read WEBSOCKET /h")},
		{Name: "rpc", Paths: sources("/rpc"), JSONRPC: &JSONRPC{}, Rules: rules("write POST /rpc")},
		{Name: "live", Paths: sources("/live"), Rules: rules("read WEBSOCKET /live")},
		{Name: "all", Paths: sources("/all/*")},
		{Name: "inner", Paths: sources("/all/graphql"), GraphQL: &GraphQL{}},
	}})
	for _, c := range []struct {
		method, path string
		upgrade      Upgrade
		want         string
	}{
		{"POST", "/g", NoUpgrade, "g read by body"},
		{"GET", "/g", NoUpgrade, "g write by body"},
		{"HEAD", "/g", NoUpgrade, "g write by body"},
		{"PUT", "/g", NoUpgrade, "g read by body"},
		{"GET", "/g", WebSocketUpgrade, "g write"}, // an upstream that ignores the upgrade would serve the GET
		{"GET", "/h", WebSocketUpgrade, "h read"},
		{"CONNECT", "/h", WebSocketUpgrade, "h read"},
		{"GET", "/h", OtherUpgrade, "h write"},
		{"POST", "/rpc", NoUpgrade, "rpc write by body"},
		{"GET", "/rpc", NoUpgrade, "rpc read by body"},
		{"PUT", "/rpc", NoUpgrade, "rpc write"},
		{"DELETE", "/rpc", NoUpgrade, "rpc write"},
		{"WEBSOCKET", "/live", NoUpgrade, "live write"},
		{"GET", "/live", WebSocketUpgrade, "live read"},
		{"GET", "/all/GraphQL", NoUpgrade, "all+inner write"},
		{"GET", "/all/graphql/", NoUpgrade, "all+inner write"},
	} {
		if got := show(table.Match(c.method, c.path, c.upgrade)); got != c.want {
			t.Errorf("%s %s, upgrade %d: %s, want %s", c.method, c.path, c.upgrade, got, c.want)
		}
	}
}
