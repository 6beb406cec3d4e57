package attack

import (
	"fmt"
	"strings"
)

// operation is what somebody wants an API to do, and whether it changes
// something there.
type operation struct {
	document string // of GraphQL
	name     string // operationName, or ""
	call     string // method of JSON-RPC
	tool     string // of a call of MCP's tools/call
}

var (
	harmless = operation{document: "{users}", call: "orders.list"}
	harmful  = operation{document: `mutation{addUser(name:"x")}`, call: "orders.add"}

	rpcMethods = []string{
		"orders.list", "orders.list", "tools/list", "tools/call", "tools/call", "orders.add", "orders.delete", "orders.List", "orders.list ", " orders.list", "orders.list\u0000", "tools/list/x", "orders", "",
		"orders.li\u017ft", "rpc.batch", "system.multicall",
	}
	tools = []string{"search_web", "search_", "delete_all", "Search_web", "search", "search_web\u0000", "", "xsearch_web"}
)

// operation makes a document from GraphQL's grammar, with what only looks like
// an operation in all places that the grammar has, and a call of JSON-RPC.
func (g generator) operation() operation {
	var o operation
	var definitions, names []string
	for i := range 1 + g.IntN(3) {
		text, name := g.definition(i)
		definitions = append(definitions, text)
		if name != "" {
			names = append(names, name)
		}
	}
	g.Shuffle(len(definitions), func(i, j int) { definitions[i], definitions[j] = definitions[j], definitions[i] })
	o.document = g.pick([]string{"", "", "", "\ufeff", ",,", "\n", "# mutation{addUser}\n", "# x\r", "\t"}) + strings.Join(definitions, g.pick([]string{" ", "\n", ",", "", "#x\n", "\r", "\r\n#\"\"\"\n", "\u2028", "# mutation\u2028", "\f"}))
	switch {
	case len(names) > 0 && g.IntN(3) > 0:
		o.name = g.pick(names)
	case g.one(6):
		o.name = g.pick([]string{"Other", "mutation", "q0 ", "Q0", "", "\u0000"})
	}
	o.call = g.pick(rpcMethods)
	o.tool = g.pick(tools)
	return o
}

// definition makes one operation or fragment.
func (g generator) definition(i int) (text, name string) {
	name = fmt.Sprintf("q%d", g.IntN(2+i))
	if g.one(8) {
		name = g.pick([]string{"mutation", "query", "fragment", "on", "subscription", "null"})
	}
	variables := g.pick([]string{"", "", "($v:String)", `($v:String="mutation{addUser}")`, "($v:[String!]!)", "($mutation:ID)"})
	directives := g.pick([]string{"", "", "", "@include(if:true)", "@skip(if:false)", "@mutation"})
	switch g.IntN(8) {
	case 0:
		return g.selection(g.queryField), ""
	case 1, 2:
		return "query " + name + variables + directives + g.selection(g.queryField), name
	case 3:
		return "query" + variables + g.selection(g.queryField), ""
	case 4, 5:
		return "mutation " + name + variables + directives + g.selection(g.mutationField), name
	case 6:
		return "fragment f on " + g.pick([]string{"Query", "Mutation"}) + g.selection(g.mutationField), ""
	}
	return g.pick([]string{"subscription", "mutation", "mutation\n", "mutation#x\n", "\"\"\"d\"\"\"mutation", "mutation$x"}) + g.selection(g.mutationField), ""
}

func (g generator) selection(field func() string) string {
	var fields []string
	for range 1 + g.IntN(2) {
		fields = append(fields, field())
	}
	return "{" + strings.Join(fields, g.pick([]string{" ", ",", "\n", "#}mutation{\n"})) + "}"
}

func (g generator) queryField() string {
	return g.pick([]string{
		"users", "mutation:users", "user(id:1)", "__typename", "...f", "...on Query{users}", `users(name:"}mutation{addUser")`, `users(name:"""}mutation{addUser}""")`, `users(name:"\"")`, `users(name:"""\"""}mutation m{addUser(name:"""x""")}""")`,
		`users(name:"\u007d")`, `users(name:"\u{7d}")`, "users(name:\"\\\\\")", "users@include(if:true)", "addUser", `users(name:"#")#x` + "\n", "users(name:\"\"\"\"x\"\"\"\")",
	})
}

func (g generator) mutationField() string {
	return g.pick([]string{`addUser(name:"x")`, "dropUser(id:1)", "users:addUser", "...f", "...on Mutation{addUser}", "__typename", `addUser(name:"""x""")`})
}
