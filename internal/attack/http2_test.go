package attack

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

const spokenEach = 1200

// What HTTP/2 lets a client write where HTTP/1 has no place for it, or a
// different one: pseudo-headers twice and late, names and values with line
// ends, headers of the connection, lengths that lie, trailers. The gateway
// speaks HTTP/1 to the upstream: nothing of it may become a line there.
// https://portswigger.net/research/http2
func TestNoUpstreamIsDeceivedByHTTP2(t *testing.T) {
	s := newSite(t, guarded, upstreams(t))
	s.callers = newCallers(s.Gateway)
	for i, u := range s.upstreams {
		t.Run(u.name, func(t *testing.T) {
			a := s.newAssault(t, i)
			f := &frames{address: s.address}
			defer f.close()
			n := spokenEach
			if u.requests > 0 {
				n = u.requests / 4
			}
			g := newGenerator(seed + uint64(i))
			refused := 0
			for range n {
				who := g.IntN(len(s.callers))
				c := &s.callers[who]
				a.sent++
				request := g.spoken(s.host(i), c.secret, a.sent)
				response, err := f.exchange(&request)
				switch {
				case errors.Is(err, errHungUp):
					refused++
				case err != nil:
					t.Fatalf("%v: %v", &request, err)
				default:
					if response.StatusCode >= http.StatusBadRequest {
						refused++
					}
					a.judge(c, response, request.String())
				}
			}
			if a.passed < n/50 || refused < n/2 {
				t.Errorf("of %d requests %s served %d, and %d were refused: the test shows little", n, u.name, a.passed, refused)
			}
			t.Logf("%d requests: %d reached the upstream, %d were refused", n, a.passed, refused)
		})
	}
}

// smuggled is a request that an upstream would see if what holds it were
// written to it as it is.
const smuggled = "DELETE /secret/a HTTP/1.1\r\nHost: x\r\nX-Attack: smuggled\r\nX-Auth-Key-Id: forged\r\n\r\n"

// spoken makes a request with one or two faults.
func (g generator) spoken(host, secret string, number int) spoken {
	target := g.pick(allowedPaths)
	if g.one(2) {
		target = g.pick(forbiddenPaths)
	}
	s := spoken{fields: []field{{":method", g.pick(methods)}, {":scheme", "http"}, {":authority", host}, {":path", target}, {"x-attack", strconv.Itoa(number)}}}
	if secret != "" {
		s.fields = append(s.fields, field{"authorization", "Bearer " + secret})
	}
	g.spoilFields(&s, host)
	if g.one(3) {
		g.spoilFields(&s, host)
	}
	if g.one(4) {
		s.split = 1 + g.IntN(40)
	}
	return s
}

// The places of the pseudo-headers.
const (
	methodAt, schemeAt, authorityAt, pathAt = 0, 1, 2, 3
)

func (g generator) spoilFields(s *spoken, host string) {
	set := func(at int, value string) { s.fields[at].value = value }
	add := func(more ...field) { s.fields = append(s.fields, more...) }
	first := func(x field) { s.fields = append(s.fields[:4:4], append([]field{x}, s.fields[4:]...)...) }
	name := g.pick(identityNames)
	switch g.IntN(16) {
	case 0, 1:
		set(pathAt, strings.ReplaceAll(g.target(), "{host}", host))
	case 2: // a request within the target, or the method
		lines := g.pick([]string{" HTTP/1.1\r\nHost: x\r\n\r\n", " HTTP/1.1\r\nX-Auth-Key-Id: forged\r\nX-A: ", "\r\n\r\n", "\n\n", " HTTP/1.0\n\n"}) + smuggled
		at := g.pick([]string{"/public/a", "/open/a", "/"}) + lines
		if g.one(3) {
			set(methodAt, "GET "+at)
			return
		}
		set(pathAt, at)
	case 3: // a pseudo-header twice
		first([]field{
			{":path", g.pick(forbiddenPaths)},
			{":path", g.pick(allowedPaths)},
			{":method", "GET"},
			{":method", "DELETE"},
			{":authority", "x"},
			{":scheme", "https"},
		}[g.IntN(6)])
	case 4: // or late, or unknown
		add([]field{{":path", "/secret/a"}, {":method", "DELETE"}, {":authority", host}, {":status", "200"}, {":x", "y"}, {":protocol", "websocket"}, {":path ", "/secret/a"}, {":Path", "/secret/a"}}[g.IntN(8)])
	case 5:
		at := g.IntN(4)
		s.fields = slices.Delete(s.fields, at, at+1)
		first(field{"x-a", "b"})
	case 6: // names that are none
		add(field{g.pick([]string{name, strings.ToLower(name) + "\r\nx-b", strings.ToLower(name) + ": forged\r\nx-b", "x-a\r\n" + name, "x-a\n" + name, strings.ToLower(name) + " ", " " + strings.ToLower(name), strings.ToLower(name) + ":", strings.ToLower(name) + "\x00", "", "\x00", "x-a: b\r\n" + name, strings.ToLower(g.spell(name))}), "forged"})
	case 7: // values that are lines
		end := g.pick([]string{"\r\n", "\n", "\r", "\x00", "\r\n\r\n", "\x0b\r\n"})
		add(field{"x-a", g.pick([]string{"b" + end + name + ": forged", "b" + end + end + smuggled, "b" + end + "Transfer-Encoding: chunked" + end, "b" + end + "Content-Length: 0" + end})})
	case 8: // the connection's own
		add([]field{{"connection", name}, {"connection", "close"}, {"connection", "authorization, x-api-key"}, {"transfer-encoding", "chunked"}, {"transfer-encoding", "\x0bchunked"}, {"keep-alive", "timeout=5"}, {"proxy-connection", "keep-alive"}, {"upgrade", "h2c"}, {"upgrade", "websocket"}, {"te", "trailers, chunked"}, {"te", "trailers"}, {"http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"}}[g.IntN(12)])
	case 9:
		add([]field{{"host", "x"}, {"host", host}, {"host", "x\r\nX-Auth-Key-Id: forged"}, {"host", ""}}[g.IntN(4)])
	case 10: // lengths that lie
		body := g.pick([]string{"", "a=b", "0\r\n\r\n" + smuggled, smuggled})
		s.data = append(s.data, body)
		lies := []string{"0", strconv.Itoa(len(body)), strconv.Itoa(len(body) + 5), strconv.Itoa(max(0, len(body)-1)), "+3", "-1", "3, 3", "0x3", "", " 3", "1e1", "18446744073709551619"}
		add(field{"content-length", g.pick(lies)})
		if g.one(3) {
			add(field{"content-length", g.pick(lies)})
		}
	case 11: // bodies in frames
		for range 1 + g.IntN(4) {
			s.data = append(s.data, g.pick([]string{"", "a=b", "0\r\n\r\n", smuggled}))
		}
	case 12: // trailers
		s.data = append(s.data, "a=b")
		s.trailers = append(s.trailers, []field{{strings.ToLower(name), "forged"}, {strings.ToLower(g.spell(name)), "forged"}, {"authorization", "Bearer x"}, {"x-api-key", "x"}, {":path", "/secret/a"}, {"content-length", "0"}, {"transfer-encoding", "chunked"}, {"x-a", "b\r\nX-Auth-Key-Id: forged"}}[g.IntN(8)])
		if g.one(2) {
			add(field{"trailer", s.trailers[0].name})
		}
	case 13: // what says who calls, and what overrides
		add(field{strings.ToLower(g.spell(name)), "forged"})
		add([]field{{"x-http-method-override", "DELETE"}, {"x-original-url", "/secret/a"}, {"x-rewrite-url", "/secret/a"}, {"forwarded", "for=x"}}[g.IntN(4)])
	case 14:
		set(methodAt, g.pick(oddMethods))
	case 15:
		set(authorityAt, g.pick([]string{"", "x", host + "\r\nX-Auth-Key-Id: forged", "a@" + host, host + "/secret", host + "?", "public." + host}))
		if g.one(2) {
			set(schemeAt, g.pick([]string{"", "https", "http://x/secret/a?", "http\r\nX-Auth-Key-Id: forged", "javascript"}))
		}
	}
}

// A header block without an end is cut off, as are questions whose answers nobody
// reads; streams that are opened and reset at once are cut off where the gateway
// does not keep up with them. Others are served meanwhile.
// CVE-2023-45288, CVE-2019-9512, CVE-2023-44487.
func TestFloodsOfFramesAreCutOff(t *testing.T) {
	s := newSite(t, guarded, []upstream{expressUpstream(t)})
	s.callers = newCallers(s.Gateway)
	for name, flood := range map[string]func(*frames) error{
		"continuations": func(f *frames) error {
			if err := f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1}); err != nil {
				return err
			}
			// A field each, of a name that no table holds: 64 MiB in all.
			piece := append([]byte{0x10, 3}, "x-a"...)
			piece = append(piece, 0x7f, 0x81, 0x7f) // 16384 bytes of value follow
			piece = append(piece, strings.Repeat("a", most)...)
			for range 64 << 20 / most {
				if err := f.framer.WriteContinuation(1, false, piece[:most]); err != nil {
					return err
				}
			}
			return nil
		},
		"resets": func(f *frames) error {
			for id := uint32(1); id < 200_001; id += 2 {
				f.stream = id
				if err := f.writeHeaders([]field{{":method", "GET"}, {":scheme", "http"}, {":authority", s.host(0)}, {":path", "/else"}, {"authorization", "Bearer " + s.callers[1].secret}}, 0, true); err != nil {
					return err
				}
				if err := f.framer.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
					return err
				}
			}
			return nil
		},
		"pings": func(f *frames) error {
			for range 4_000_000 { // whose answers nobody reads
				if err := f.framer.WritePing(false, [8]byte{}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &frames{address: s.address}
			if err := f.open(); err != nil {
				t.Fatal(err)
			}
			defer f.close()
			if err := f.conn.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- flood(f) }()
			other := &frames{address: s.address}
			defer other.close()
			for cut := false; !cut; {
				select {
				case err := <-ended:
					if err == nil && name != "resets" {
						t.Error("all of it was taken")
					}
					cut = true
				default:
				}
				request := spoken{fields: []field{{":method", "GET"}, {":scheme", "http"}, {":authority", s.host(0)}, {":path", "/else"}, {"authorization", "Bearer " + s.callers[1].secret}}}
				if response, err := other.exchange(&request); err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("somebody else is answered %v, %v", response, err)
				}
			}
		})
	}
}

// What is written by hand is understood, or nothing above shows anything.
func TestRequestsByFramesAreUnderstood(t *testing.T) {
	s := newSite(t, guarded, []upstream{expressUpstream(t)})
	s.callers = newCallers(s.Gateway)
	f := &frames{address: s.address}
	defer f.close()
	all := s.callers[len(s.callers)-1]
	for i, request := range []spoken{
		{},
		{split: 3},
		{data: []string{"a=", "b"}},
		{data: []string{"a=b"}, trailers: []field{{"x-a", "b"}}},
	} {
		request.fields = []field{{":method", "POST"}, {":scheme", "http"}, {":authority", s.host(0)}, {":path", "/secret/a"}, {"x-attack", fmt.Sprint(i)}, {"authorization", "Bearer " + all.secret}}
		response, err := f.exchange(&request)
		if err != nil {
			t.Fatal(err)
		}
		if h := response.Header; response.StatusCode != http.StatusOK || h.Get("X-Served") != "secret" || h.Get("X-Method") != "POST" || h.Get("X-Attack") != fmt.Sprint(i) || !strings.HasPrefix(h.Get("X-Who"), all.id+"|") {
			t.Errorf("%v is answered %d %v", &request, response.StatusCode, h)
		}
	}
}
