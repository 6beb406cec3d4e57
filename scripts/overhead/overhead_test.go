package main

import (
	"bufio"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCallersAndUpstreamUnderstandEachOther(t *testing.T) {
	u, err := startUpstream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := call(t.Context(), u.address(), 3, []string{"a", "b"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3, 100} { // less than there are connections, too
		if took, err := c.send(n); err != nil || took <= 0 {
			t.Errorf("%d requests took %s: %v", n, took, err)
		}
	}
	c.close()
	if _, err := c.send(3); err == nil {
		t.Error("requests on closed connections are answered")
	}
	if err := u.close(); err != nil {
		t.Error(err)
	}
	if _, err := call(t.Context(), u.address(), 1, []string{"a"}, 0); err == nil {
		t.Error("an upstream that has ended takes connections")
	}
}

func TestAnAnswerIsReadToItsEnd(t *testing.T) {
	in := bufio.NewReader(strings.NewReader("HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	for _, want := range []int{401, 200} {
		if status, err := readAnswer(in); err != nil || status != want {
			t.Errorf("status %d, %v; want %d", status, err, want)
		}
	}
	for _, text := range []string{
		"", "HTTP/1.1", "HTTP/1.1 OK!\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
	} {
		if status, err := readAnswer(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("%q is an answer with the status %d", text, status)
		}
	}
}

func TestRoundsAreComparedInPairs(t *testing.T) {
	rounds := func(micros ...int) (all []figures) {
		for _, n := range micros {
			all = append(all, figures{cpu: time.Duration(n) * time.Microsecond})
		}
		return all
	}
	// The machine was slow in the second pair: the ratio of medians would be 1.
	slow := pairs{rounds(100, 200, 50), rounds(110, 220, 100)}
	b, k, ratio := slow.compare(figures.micros)
	if b != 100 || k != 110 || ratio != 1.1 {
		t.Errorf("medians %v and %v, ratio %v; want 100, 110 and 1.1", b, k, ratio)
	}
	// One start was unlucky.
	once := pairs{rounds(100), rounds(101)}
	b, k, ratios := compareStarts([]pairs{slow, {rounds(100), rounds(150)}, once}, figures.micros)
	if b != 100 || k != 110 || !slices.Equal(ratios, []float64{1.01, 1.1, 1.5}) {
		t.Errorf("medians %v and %v, ratios %v; want 100, 110, and 1.01, 1.1 and 1.5", b, k, ratios)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("the median of four is %v", got)
	}
}

func TestNothingIsMeasuredWithNothing(t *testing.T) {
	usual := options{starts: 1, rounds: 1, requests: 1, connections: 1, keys: 1}
	for name, spoil := range map[string]func(*options){
		"starts":      func(o *options) { o.starts = 0 },
		"rounds":      func(o *options) { o.rounds = -1 },
		"requests":    func(o *options) { o.requests = 0 },
		"connections": func(o *options) { o.connections = 0 },
		"keys":        func(o *options) { o.keys = 0 },
		"headers":     func(o *options) { o.headers = -1 },
	} {
		o := usual
		spoil(&o)
		if err := run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "-"+name) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestTheConfigurationsDifferInAuthenticationAlone(t *testing.T) {
	g := &gateway{front: "127.0.0.1:1", back: "127.0.0.1:2", manage: "127.0.0.1:3"}
	bare, ours := g.caddyfile("/d", "127.0.0.1:4", false, true), g.caddyfile("/d", "127.0.0.1:4", true, true)
	for line := range strings.Lines(bare) {
		if !strings.Contains(ours, line) {
			t.Errorf("only bare Caddy has %q", line)
		}
	}
	if strings.Contains(bare, "api_key") || !strings.Contains(ours, "api_key_auth") {
		t.Error("authentication is not what they differ in")
	}
}
