package route

import (
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// grpcTable is a handler with one gRPC API on all paths.
func grpcTable(t testing.TB, read []string, rules ...Rule) *Table {
	t.Helper()
	return mustCompile(t, Config{APIs: []API{{
		Name: "shop", Paths: sources("/{endpoint}/*"), Rules: rules, GRPC: &GRPC{Read: read},
	}}})
}

func TestGRPCMethodsThatAreNotListedWrite(t *testing.T) {
	table := grpcTable(t, []string{"shop.Orders/List", "shop.Orders/Get*", "shop.Status/*", "open.*"})
	for path, want := range map[string]permission.Access{
		"/shop.Orders/List":       permission.Read,
		"/shop.Orders/Get":        permission.Read,
		"/shop.Orders/GetOrder":   permission.Read,
		"/shop.Status/Anything":   permission.Read,
		"/shop.Status/":           permission.Read,
		"/open.Service/Method":    permission.Read,
		"/shop.Orders/Delete":     permission.Write,
		"/shop.Orders/list":       permission.Write,
		"/Shop.Orders/List":       permission.Write,
		"/shop.Orders/List/":      permission.Write,
		"/shop.Orders/ListAll":    permission.Write,
		"/shop.Orders/Ge":         permission.Write,
		"/shop.Orders/Get/Delete": permission.Write,
		"/shop.Status/a/b":        permission.Write,
		"/open.Service/a/b":       permission.Write,
		"/shop.OrdersX/List":      permission.Write,
		"/openX/Method":           permission.Write,
	} {
		m, matched := table.Match("POST", path, NoUpgrade)
		if !matched || m.Access != want || m.Body {
			t.Errorf("%s: matched %t, needs %s, body %t; want %s", path, matched, m.Access, m.Body, want)
		}
		service := strings.Split(path, "/")[1]
		if m.Endpoint != service {
			t.Errorf("%s belongs to the endpoint %q, want %q", path, m.Endpoint, service)
		}
	}
}

func TestOnlyAPostIsAGRPCCall(t *testing.T) {
	table := grpcTable(t, []string{"*"})
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "post", "WEBSOCKET", ""} {
		if m, _ := table.Match(method, "/shop.Orders/List", NoUpgrade); m.Access != permission.Write {
			t.Errorf("%s needs %s", method, m.Access)
		}
	}
	if m, _ := table.Match("GET", "/shop.Orders/List", WebSocketUpgrade); m.Access != permission.Write {
		t.Errorf("an upgrade needs %s", m.Access)
	}
	if m, _ := table.Match("POST", "/shop.Orders/List", NoUpgrade); m.Access != permission.Read {
		t.Errorf("a call needs %s", m.Access)
	}
}

func TestWriteRuleRaisesAGRPCMethodInAnyLetterCase(t *testing.T) {
	table := grpcTable(t, []string{"*"}, Rule{Access: permission.Write, Patterns: sources("/shop.Orders/Purge")})
	for path, want := range map[string]permission.Access{
		"/shop.Orders/Purge": permission.Write, "/shop.orders/PURGE": permission.Write, "/shop.Orders/List": permission.Read,
	} {
		if m, _ := table.Match("POST", path, NoUpgrade); m.Access != want {
			t.Errorf("%s needs %s, want %s", path, m.Access, want)
		}
	}
}

func TestWebSocketRuleStandsInAGRPCAPI(t *testing.T) {
	table := grpcTable(t, nil, Rule{Access: permission.Read, Methods: []string{MethodWebSocket}, Patterns: sources("/shop.Orders/Watch")})
	if m, _ := table.Match("GET", "/shop.Orders/Watch", WebSocketUpgrade); m.Access != permission.Read {
		t.Errorf("an upgrade that a rule names needs %s", m.Access)
	}
}

func TestGRPCFaultsAreAllNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		api  API
		want []string
	}{
		{"names", API{Paths: sources("/*"), GRPC: &GRPC{Read: []string{"/a.B/C", "a.B", "a/b/c", "/", "a.B/", "", "a*/b", "a.B/C d", "a.B/é"}}}, []string{
			`method "/a.B/C" begins with a slash: expected "a.B/C"`, `method "a.B": expected Package.Service/Method`, `method "a/b/c": expected`,
			`method "/" begins`, `method "a.B/": expected`, "a method's name is empty", `method "a*/b": * is possible only at its end`,
			`method "a.B/C d": expected`, `method "a.B/é": expected`,
		}},
		{"outside", API{Paths: sources("/shop.Orders/*"), GRPC: &GRPC{Read: []string{"shop.Orders/List", "shop.Users/List", "shop.Users/*", "shop.U*"}}}, []string{
			"grpc read shop.Users/List never applies: /shop.Users/List lies outside every pattern of the api", "grpc read shop.Users/* never applies",
		}},
		{"two kinds", API{Paths: sources("/*"), GRPC: &GRPC{}, JSONRPC: &JSONRPC{}}, []string{"is both jsonrpc and grpc: choose one"}},
		{"three kinds", API{Paths: sources("/*"), GraphQL: &GraphQL{}, GRPC: &GRPC{}, JSONRPC: &JSONRPC{}}, []string{"is both graphql and jsonrpc and grpc"}},
		{"a read rule", API{Paths: sources("/*"), GRPC: &GRPC{}, Rules: []Rule{{permission.Read, nil, sources("/a.B/C")}}}, []string{
			"the block grpc decides what reads in this api",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.api.Name = "shop"
			_, err := Compile(Config{APIs: []API{c.api}})
			if err == nil {
				t.Fatal("compiled")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
			if c.name == "outside" && strings.Contains(err.Error(), "shop.Orders/List") {
				t.Errorf("blames what is right:\n%v", err)
			}
		})
	}
}

func TestGRPCMatchDoesNotAllocate(t *testing.T) {
	table := grpcTable(t, []string{"shop.Orders/List", "shop.Orders/Get*"})
	if n := testing.AllocsPerRun(100, func() { table.Match("POST", "/shop.Orders/GetOrder", NoUpgrade) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
