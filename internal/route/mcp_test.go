package route

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// tool is a call of a tool, as MCP clients send it.
func tool(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
}

func TestToolsThatAreNamedRead(t *testing.T) {
	a := rpcAPI(t, "tools/list", "tools/call:search_*", "tools/call:get")
	for _, c := range []struct{ name, params, want string }{
		{"named", `{"name":"get"}`, "read"},
		{"begins as named", `{"name":"search_orders","arguments":{"name":"delete_all","x":[{"name":"y"}]}}`, "read"},
		{"the beginning alone", `{"name":"search_"}`, "read"},
		{"escaped", `{"name":"\u0067et"}`, "read"},
		{"after its arguments", `{"arguments":{"name":"delete_all"},"_meta":{"progressToken":1},"name":"get"}`, "read"},
		{"another", `{"name":"delete_orders"}`, "write"},
		{"another, that has the beginning inside", `{"name":"delete_search_x"}`, "write"},
		{"another letter case", `{"name":"Search_orders"}`, "write"},
		{"the rule's own text", `{"name":"tools/call:get"}`, "write"},
		{"empty", `{"name":""}`, "write"},
		{"a space before", `{"name":" get"}`, "write"},
		{"a space behind", `{"name":"get "}`, "write"},
		{"a NUL", `{"name":"search_\u0000"}`, "refused: the name of the tool has a NUL"},
		{"twice", `{"name":"get","name":"delete"}`, "refused: the JSON has an object with the"},
		{"twice, escaped", `{"name":"get","n\u0061me":"delete"}`, "refused: the JSON has an object with the"},
		{"in two letter cases", `{"name":"get","Name":"delete"}`, "refused: the JSON has an object with the"},
		{"in another letter case", `{"NAME":"delete"}`, "refused: the JSON has the name"},
		{"missing", `{"arguments":{}}`, "refused: the params of tools/call have no name"},
		{"null", `{"name":null}`, "refused: the params of tools/call have no name"},
		{"a number", `{"name":1}`, "refused: the params of tools/call have no name"},
		{"a list", `{"name":["get"]}`, "refused: the params of tools/call have no name"},
		{"params by position", `["get"]`, "refused: the params of tools/call have no name"},
		{"params of null", `null`, "refused: the params of tools/call have no name"},
		{"params as text", `"{\"name\":\"get\"}"`, "refused: the params of tools/call have no name"},
	} {
		for shape, body := range map[string]string{"call": tool(c.params), "batch": "[" + call("tools/list") + "," + tool(c.params) + "]"} {
			if got := verdict(t, a, post("application/json", ""), body); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s in a %s: %s, want %s", c.name, shape, got, c.want)
			}
		}
	}
	for body, want := range map[string]string{
		call("tools/list"): "read", call("tools/call"): "refused: the params of tools/call", call("get"): "write", call("search_x"): "write",
		`{"method":"tools/call","params":{"name":"get"},"Params":{"name":"delete"}}`:    "refused: the JSON has an object with the",
		`{"method":"tools/call","PARAMS":{"name":"get"}}`:                               "refused: the JSON has the name",
		`{"method":"prompts/get","params":{"name":"get"}}`:                              "write",
		`{"method":"tools/call","params":{"name":"get"},"result":1}`:                    "read",
		"[" + tool(`{"name":"get"}`) + "," + tool(`{"name":"delete"}`) + "]":            "write",
		tool(`{"name":"get","arguments":{"a":` + strings.Repeat("[", 200) + `]}}`):      "refused: the",
		tool(`{"name":"get","arguments":{"a":"` + strings.Repeat("x", 500_000) + `"}}`): "read",
	} {
		if got := verdict(t, a, post("application/json", ""), body); !strings.HasPrefix(got, want) {
			t.Errorf("%.80s: %s, want %s", body, got, want)
		}
	}
}

func TestToolsThatAreNotNamedNeedNoParams(t *testing.T) {
	for _, c := range []struct {
		read []string
		body string
		want string
	}{
		{[]string{"tools/list"}, tool(`{"name":"get"}`), "write"},
		{[]string{"tools/list"}, call("tools/call"), "write"},
		{[]string{"tools/*"}, tool(`{"name":"delete"}`), "read"},
		{[]string{"tools/*", "tools/call:get"}, tool(`{"name":"delete"}`), "read"},
		{[]string{"tools/call:*"}, tool(`{"name":"delete"}`), "read"},
		{[]string{"system:list"}, call("system:list"), "read"},
	} {
		if got := verdict(t, rpcAPI(t, c.read...), post("application/json", ""), c.body); got != c.want {
			t.Errorf("%v, %s: %s, want %s", c.read, c.body, got, c.want)
		}
	}
}

// Newer clients repeat the method and the tool in headers, and servers and
// proxies may go by these.
func TestMCPHeadersMustSayWhatTheBodySays(t *testing.T) {
	a := rpcAPI(t, "ping", "tools/call:get", "tools/call:日本")
	get := tool(`{"name":"get"}`)
	for _, c := range []struct {
		name, body, want string
		header           http.Header
	}{
		{"as the body", get, "read", http.Header{"Mcp-Method": {"tools/call"}, "Mcp-Name": {"get"}}},
		{"another method", get, "refused: the header Mcp-Method differs", http.Header{"Mcp-Method": {"ping"}}},
		{"another method, for a read", call("ping"), "refused: the header Mcp-Method differs", http.Header{"Mcp-Method": {"tools/call"}}},
		{"another tool", get, "refused: the header Mcp-Name differs", http.Header{"Mcp-Name": {"delete"}}},
		{"another tool as CGI would read it", get, "refused: the header Mcp-Name differs", http.Header{"Mcp_name": {"delete"}}},
		{"two spellings", get, "refused: the header Mcp-Name is", http.Header{"Mcp_Name": {"get"}, "Mcp-Name": {"get"}}},
		{"twice", get, "refused: the header Mcp-Method is", http.Header{"Mcp-Method": {"tools/call", "tools/call"}}},
		{"empty", get, "refused: the header Mcp-Name is", http.Header{"Mcp-Name": {""}}},
		{"encoded", tool(`{"name":"日本"}`), "read", http.Header{"Mcp-Name": {"=?base64?5pel5pys?="}}},
		{"encoded otherwise", tool(`{"name":"日本"}`), "refused: the header Mcp-Name differs", http.Header{"Mcp-Name": {"=?base64?5pel?="}}},
		{"encoded badly", tool(`{"name":"日本"}`), "refused: the header Mcp-Name differs", http.Header{"Mcp-Name": {"=?base64?5pel5pys"}}},
		{"a batch that they can't describe", "[" + call("ping") + "," + get + "]", "refused: the header Mcp-Method differs", http.Header{"Mcp-Method": {"ping"}}},
		{"a name where it decides nothing", call("ping"), "read", http.Header{"Mcp-Method": {"ping"}, "Mcp-Name": {"x"}}},
	} {
		r := post("application/json", "")
		for name, values := range c.header {
			r.Header[name] = values
		}
		if got := verdict(t, a, r, c.body); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFaultyToolsAreNamed(t *testing.T) {
	_, err := Compile(Config{APIs: []API{{Name: "rpc", Paths: sources("/rpc"), JSONRPC: &JSONRPC{Read: []string{"tools/call:", "tools/call:a*b", "ok"}}}}})
	for _, want := range []string{"jsonrpc read: after tools/call:, a method's name is empty", `"a*b": * is possible only at its end`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// Params of a tool are kept only as far as they decide.
func TestLargeArgumentsOfAToolCostLittleMemory(t *testing.T) {
	a := rpcAPI(t, "tools/call:get")
	body := []byte(tool(`{"name":"get","arguments":{"list":[` + strings.Repeat("1,", 400_000) + `1]}}`))
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if access, err := a.Classify(post("application/json", ""), body); access != permission.Read || err != nil {
				b.Fatal(access, err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 100_000 {
		t.Errorf("%d bytes for a body of %d", allocated, len(body))
	}
}
