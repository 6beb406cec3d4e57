package attack

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
)

// wrapped is an operation as a request carries it.
type wrapped struct {
	method string
	query  string // of the URL, with its question mark
	header string
	body   string
}

// text returns the request as it is written on the wire.
func (w *wrapped) text(path, host, secret string, number int) string {
	return fmt.Sprintf("%s %s%s HTTP/1.1\r\nHost: %s\r\nX-Attack: %d\r\nAuthorization: Bearer %s\r\n%s\r\n%s", w.method, path, w.query, host, number, secret, w.header, w.body)
}

// language says how an API's operations are written.
type language struct {
	path string
	// object returns the members of a request's JSON object, names and values.
	object func(operation) [][2]string
	// parameters of a URL.
	parameters func(operation) url.Values
}

var (
	graphqlLanguage = language{
		path: "/graphql",
		object: func(o operation) [][2]string {
			members := [][2]string{{"query", quoted(o.document)}}
			if o.name != "" {
				members = append(members, [2]string{"operationName", quoted(o.name)})
			}
			return members
		},
		parameters: func(o operation) url.Values {
			v := url.Values{"query": {o.document}}
			if o.name != "" {
				v.Set("operationName", o.name)
			}
			return v
		},
	}
	rpcLanguage = language{
		path: "/rpc",
		object: func(o operation) [][2]string {
			members := [][2]string{{"jsonrpc", `"2.0"`}, {"id", "1"}, {"method", quoted(o.call)}}
			if o.call == "tools/call" {
				members = append(members, [2]string{"params", `{"name":` + quoted(o.tool) + "}"})
			}
			return members
		},
		parameters: func(o operation) url.Values { return url.Values{"method": {o.call}, "id": {"1"}} },
	}
)

func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		panic(err) // text is always JSON
	}
	return string(raw)
}

// wrap puts an operation into a request, plainly or so that two readers could
// see two operations in it.
func (g generator) wrap(l *language, o operation) wrapped {
	harmfulHere := harmful
	if g.one(2) {
		o, harmfulHere = harmless, o
	}
	switch g.IntN(10) {
	case 0, 1:
		return g.deliver(l, "application/json", object(l.object(o)))
	case 2:
		members := append(l.object(o), l.object(harmfulHere)...)
		g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		return g.deliver(l, "application/json", object(g.misspell(members)))
	case 3:
		return g.deliver(l, "application/json", g.batch(object(l.object(o)), object(g.misspell(l.object(harmfulHere)))))
	case 4:
		return g.deliver(l, "application/json", g.surround(object(l.object(o)), object(l.object(harmfulHere))))
	case 5:
		return g.encoded(l, object(l.object(harmfulHere)))
	case 6:
		return g.deliver(l, g.pick(contentTypes), g.pick([]string{object(l.object(harmfulHere)), harmfulHere.document, l.parameters(harmfulHere).Encode()}))
	case 7:
		w := g.deliver(l, "application/json", object(l.object(o)))
		w.query = "?" + g.pick([]string{"", "x=1&", "QUERY=1&", "extensions={}&"}) + l.parameters(harmfulHere).Encode()
		w.method = g.pick([]string{"POST", "POST", "GET", "PUT", "QUERY", "HEAD", "PATCH", "OPTIONS"})
		return w
	case 8:
		return g.byURL(l, o, harmfulHere)
	}
	return g.multipart(object(l.object(o)), object(l.object(harmfulHere)))
}

func object(members [][2]string) string {
	var parts []string
	for _, m := range members {
		parts = append(parts, quoted(m[0])+":"+m[1])
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// misspell writes one name in another way that some parsers take for it.
func (g generator) misspell(members [][2]string) [][2]string {
	i := g.IntN(len(members))
	name := members[i][0]
	at := g.IntN(len(name))
	members[i][0] = g.pick([]string{name, name, strings.ToUpper(name), name[:at] + strings.ToUpper(name[at:at+1]) + name[at+1:], strings.ReplaceAll(name, "s", "ſ"), name + "\x00", name + " ", name + "[]", " " + name})
	return members
}

func (g generator) batch(a, b string) string {
	return g.pick([]string{"[" + a + "," + b + "]", "[" + b + "," + a + "]", "[" + b + "]", "[[" + b + "]]", "[" + a + ",[" + b + "]]", "[null," + b + "]", "[]", "[" + a + "," + b + ",]", `{"0":` + b + "}"})
}

// surround puts things around a value that some parsers pass over.
func (g generator) surround(a, b string) string {
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	return g.pick([]string{
		"\ufeff" + a, a + b, a + "\n" + b, a + "\x00" + b, "/*" + a + "*/" + b, "//" + a + "\n" + b, a + "//" + b, ")]}',\n" + b, "\x1e" + b, strings.Replace(a, "{", `{/*"query":1*/`, 1), "'" + b + "'",
		strings.Replace(a, "{", `{"x":`+b+",", 1), strings.Replace(a, "}", ",}", 1), strings.Replace(b, "{", `{"variables":`+deep+",", 1), strings.Replace(b, `"`, `'`, 2), strings.Replace(b, `"m`, `"\u006d`, 1), strings.Replace(b, `"q`, `"\u0071`, 1),
		strings.Replace(a, "}", `,"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}`, 1), strings.Replace(a, "}", `,"id":"stored"}`, 1), quoted(b), "\xff" + b, strings.Repeat(" ", 1<<20) + b,
	})
}

var contentTypes = []string{
	"", "text/plain", "application/json; charset=utf-16", "application/json;charset=utf-7", "application/json; charset=\"utf-8\"", "application/graphql", "application/graphql+json", "application/x-www-form-urlencoded", "APPLICATION/JSON", "application/json, text/plain",
	"application/json\r\nContent-Type: application/graphql", "application/graphql\r\nContent-Type: application/json", "application/json;", "application/json; x=application/graphql", "multipart/form-data", "application/vnd.api+json", "*/*", "application/json-rpc", "application/jsonrequest", "application/json; boundary=x",
}

// encoded sends the body in an encoding that some servers undo.
func (g generator) encoded(l *language, body string) wrapped {
	switch g.IntN(4) {
	case 0:
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(body)) // a buffer takes everything
		_ = z.Close()
		w := g.deliver(l, "application/json", b.String())
		w.header += g.pick([]string{"Content-Encoding: gzip\r\n", "Content-Encoding: x-gzip\r\n", "content_encoding: gzip\r\n", "", "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", "Connection: content-encoding\r\nContent-Encoding: gzip\r\n"})
		return w
	case 1:
		w := g.deliver(l, "application/json", body)
		w.header += g.pick([]string{"Content-Encoding: identity\r\n", "Content-Encoding: br\r\n", "Content-Transfer-Encoding: base64\r\n", "Connection: Content-Type\r\n", "Connection: close, content-length\r\n"})
		return w
	}
	var b bytes.Buffer
	low := g.IntN(2)
	if g.one(2) {
		b.Write([][]byte{{0xfe, 0xff}, {0xff, 0xfe}}[low])
	}
	for _, u := range utf16.Encode([]rune(body)) {
		pair := []byte{byte(u >> 8), byte(u)}
		b.WriteByte(pair[low])
		b.WriteByte(pair[1-low])
	}
	return g.deliver(l, g.pick([]string{"application/json", "application/json; charset=utf-16", "application/json; charset=utf-16le"}), b.String())
}

// byURL asks by GET, twice perhaps.
func (g generator) byURL(l *language, o, other operation) wrapped {
	a, b := l.parameters(o).Encode(), l.parameters(other).Encode()
	return wrapped{
		method: g.pick([]string{"GET", "GET", "GET", "HEAD", "POST", "OPTIONS"}),
		query: "?" + g.pick([]string{
			b, a, a + "&" + b, b + "&" + a, strings.ToUpper(b[:1]) + b[1:] + "&" + a, strings.Replace(b, "=", "[]=", 1), strings.Replace(b, "=", "%00=", 1), "+" + b, a + ";" + b, a + "%26" + b, strings.Replace(b, "e", "%65", 1), a + "#&" + b, "?" + b,
		}),
		header: g.pick([]string{"", "Accept: text/event-stream\r\n", "Accept: text/event-stream;q=0\r\n", "Mcp-Method: tools/list\r\n"}),
	}
}

func (g generator) multipart(a, b string) wrapped {
	part := func(name, value string) string {
		return "--x\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
	}
	body := g.pick([]string{
		part("operations", b) + part("map", "{}"), part("operations", a) + part("operations", b) + part("map", "{}"), part("query", `mutation{addUser}`) + part("operations", a) + part("map", "{}"),
		part("operations", a) + part("map", `{"0":["query"]}`) + part("0", "mutation{addUser}"), part("operations", "["+a+"]") + part("map", `{"0":["variables.x","0.query"]}`) + part("0", "mutation{addUser}"), part("map", "{}") + part("operations", b), "preamble\r\n" + part("operations", b) + part("map", "{}"), part("operations", a) + part("map", "{}") + "--x--\r\n" + part("operations", b),
		strings.Replace(part("operations", b), "\r\n\r\n", "\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1) + part("map", "{}"), part("operations\"; name=\"map", b) + part("map", "{}"),
	}) + "--x--\r\n"
	return g.deliver(nil, g.pick([]string{"multipart/form-data; boundary=x", "multipart/form-data; boundary=x; boundary=y", "multipart/mixed; boundary=x", `multipart/form-data; boundary="x"`}), body)
}

// deliver sends a body in one piece or several.
func (g generator) deliver(l *language, contentType, body string) wrapped {
	w := wrapped{method: "POST"}
	if contentType != "" {
		w.header = "Content-Type: " + contentType + "\r\n"
	}
	if l == &rpcLanguage && g.one(4) {
		w.header += g.pick([]string{"Mcp-Method: tools/call\r\n", "Mcp-Method: orders.add\r\n", "Mcp-Name: delete_all\r\n", "mcp_name: delete_all\r\n", "Mcp-Method: tools/list\r\n"})
	}
	switch g.IntN(8) {
	case 0:
		half := len(body) / 2
		trailer := g.pick([]string{"", "Content-Type: application/graphql\r\n", "X-Auth-Access: write\r\n", "Content-Encoding: gzip\r\n", "X-Auth-Key-Id: forged\r\n"})
		w.header += g.pick([]string{"", "Trailer: Content-Type\r\n", "Expect: 100-continue\r\n", "TE: trailers\r\n"}) + "Transfer-Encoding: chunked\r\n"
		w.body = fmt.Sprintf("%x;a=b\r\n%s\r\n%X\r\n%s\r\n0\r\n%s\r\n", half, body[:half], len(body)-half, body[half:], trailer)
		if half == 0 {
			w.body = "0\r\n" + trailer + "\r\n"
		}
		return w
	case 1:
		w.header += "Expect: 100-continue\r\n"
	}
	w.header += "Content-Length: " + strconv.Itoa(len(body)) + "\r\n"
	w.body = body
	return w
}
