package attack

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// What goes over a connection is taken apart in the same way by the gateway
// and by who is behind it: nothing that is a request to one of them alone.
func TestNothingIsSmuggled(t *testing.T) {
	s := newSite(t, readable, []upstream{apiUpstream(t), expressUpstream(t)})
	keys := newReaderAndWriter(s)
	const query, mutation = `{"query":"{users}"}`, `{"query":"mutation{addUser}"}`
	for i := range s.upstreams {
		inner := fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: %s\r\nX-Attack: smuggled\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.host(i), len(mutation), mutation)
		chunked := func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
		both := func(header string) string {
			return fmt.Sprintf("Content-Length: %d\r\n%s\r\n\r\n%s%s", len(chunked(query)+inner), header, chunked(query), inner)
		}
		var cases []thrown
		for name, rest := range map[string]string{
			"another request behind":       fmt.Sprintf("Content-Length: %d\r\n\r\n%s%s", len(query), query, inner),
			"chunked and a length":         both("Transfer-Encoding: chunked"),
			"chunked twice":                both("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
			"chunked and identity":         both("Transfer-Encoding: chunked, identity"),
			"identity and chunked":         both("Transfer-Encoding: identity, chunked"),
			"not quite chunked":            both("Transfer-Encoding: xchunked"),
			"chunked after a tab":          both("Transfer-Encoding:\tchunked"),
			"chunked after a control":      both("Transfer-Encoding: \x0bchunked"),
			"chunked before a space":       both("Transfer-Encoding : chunked"),
			"chunked in capitals":          both("TRANSFER-ENCODING: CHUNKED"),
			"chunked on a folded line":     both("Transfer-Encoding:\r\n chunked"),
			"chunked with an underscore":   both("Transfer_Encoding: chunked"),
			"chunked behind a bare CR":     both("X-A: b\rTransfer-Encoding: chunked"),
			"chunked behind a bare LF":     both("X-A: b\nTransfer-Encoding: chunked"),
			"Connection drops chunked":     both("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked"),
			"Connection drops the length":  fmt.Sprintf("Connection: Content-Length\r\nContent-Length: %d\r\n\r\n%s%s", len(query), query, inner),
			"two lengths":                  fmt.Sprintf("Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s%s", len(query), len(query+inner), query, inner),
			"two lengths in one":           fmt.Sprintf("Content-Length: %d, %d\r\n\r\n%s%s", len(query), len(query+inner), query, inner),
			"the same length twice":        fmt.Sprintf("Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s%s", len(query), len(query), query, inner),
			"a length with a sign":         fmt.Sprintf("Content-Length: +%d\r\n\r\n%s%s", len(query), query, inner),
			"a length in hexadecimal":      fmt.Sprintf("Content-Length: 0x%x\r\n\r\n%s%s", len(query), query, inner),
			"a length with an underscore":  fmt.Sprintf("Content_Length: 0\r\nContent-Length: %d\r\n\r\n%s%s", len(query), query, inner),
			"no length":                    "\r\n" + query + "\r\n" + inner,
			"a length of nothing":          "Content-Length: 0\r\n\r\n" + query + inner,
			"more promised than sent":      fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(mutation)+9, mutation),
			"half a body":                  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(query)+len(inner)+50, query+inner),
			"half a chunk":                 fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s", len(query)+5, query),
			"chunks without an end":        fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(query), query),
			"a chunk's size in 0x":         fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n0x%x\r\n%s\r\n0\r\n\r\n%s", len(query), query, inner),
			"a chunk's size with a sign":   fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n+%x\r\n%s\r\n0\r\n\r\n%s", len(query), query, inner),
			"a chunk's size overflows":     fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n1%016x\r\n%s\r\n0\r\n\r\n%s", len(query), query, inner),
			"a chunk's end is LF":          fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\n%s\n0\n\n%s", len(query), query, inner),
			"an LF in a chunk's extension": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x;\n%s\r\n0\r\n\r\n%s", len(query), query, inner),
			"a request in a trailer":       fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX: y\r\n%s\r\n", len(query), query, inner),
			"expecting what nobody knows":  fmt.Sprintf("Expect: 200-ok\r\nContent-Length: %d\r\n\r\n%s%s", len(query), query, inner),
			"expecting twice":              fmt.Sprintf("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n%s%s", len(query), query, inner),
			"an upgrade to h2c":            fmt.Sprintf("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nContent-Length: %d\r\n\r\n%s%s", len(query), query, inner),
		} {
			for _, version := range []string{"1.1", "1.0"} {
				for _, key := range []string{keys.reader.Secret, keys.writer.Secret} {
					cases = append(cases, thrown{name, fmt.Sprintf("POST /graphql HTTP/%s\r\nHost: %s\r\nX-API-Key: %s\r\nContent-Type: application/json\r\n%s", version, s.host(i), key, rest)})
				}
			}
		}
		s.throwAll(t, i, cases)
		// It would have shown.
		w := wire{address: s.address}
		if _, _, err := w.exchange("POST", strings.Replace(inner, "X-Attack: smuggled", "X-API-Key: "+keys.writer.Secret, 1)); err != nil {
			t.Error(err)
		}
		w.close()
		if counts := s.tally(t, i); counts[keys.writer.ID] == 0 {
			t.Errorf("%s counts %v after a mutation", s.upstreams[i].name, counts)
		}
	}
}

// thrown is text that is sent over a connection of its own.
type thrown struct{ name, text string }

// throwAll sends all of them, once as from a client that waits, and once as
// from one that has ended. None may change anything.
func (s *site) throwAll(t *testing.T, i int, cases []thrown) {
	t.Helper()
	var group sync.WaitGroup
	for _, c := range cases {
		for _, ending := range []bool{false, true} {
			group.Go(func() { s.throw(t, c.text, ending) })
		}
	}
	group.Wait()
	before := s.tally(t, i)
	if len(before) == 0 {
		return
	}
	t.Errorf("%s counts %v", s.upstreams[i].name, before)
	for _, c := range cases { // which one was it?
		s.throw(t, c.text, false)
		after := s.tally(t, i)
		if fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: %s", c.name, clip(c.text))
		}
		before = after
	}
}

// silence is after how long a gateway that says nothing is taken to wait for
// more. What it does later would be missed, and nothing else.
const silence = 500 * time.Millisecond

// throw sends text, and reads what is answered until there is no more.
func (s *site) throw(t *testing.T, text string, ending bool) {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, text) // it may be refused before it is sent
	if ending {
		_ = conn.(*net.TCPConn).CloseWrite() // the other end may have closed
	}
	for buf := make([]byte, 4096); err == nil; {
		if err = conn.SetReadDeadline(time.Now().Add(silence)); err == nil {
			_, err = conn.Read(buf)
		}
	}
}
