package caddymodule

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-keywarden/keywarden/internal/freeport"
)

// doorAt returns the door of the site's address.
func (s *site) doorAt() *door {
	s.t.Helper()
	doors.Lock()
	defer doors.Unlock()
	for address, d := range doors.open {
		if strings.HasSuffix(address, s.port()) {
			return d
		}
	}
	s.t.Fatal("the site's socket is not kept")
	return nil
}

// port returns the site's address as Caddy listens at it.
func (s *site) port() string { return s.address[strings.LastIndexByte(s.address, ':'):] }

// reload loads the site again, differently each time.
func (s *site) reload(i int) {
	s.t.Helper()
	if err := s.load("", fmt.Sprintf("header X-Round %d\n%s", i, standard)); err != nil {
		s.t.Fatal(err)
	}
}

// dial opens a connection to the site.
func (s *site) dial() (net.Conn, *bufio.Reader) {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

// get is a request, up to where its headers go on.
func (s *site) get() string { return "GET /healthz HTTP/1.1\r\nHost: " + s.address + "\r\n" }

// ask sends text on a connection and returns the answer.
func ask(t *testing.T, c net.Conn, from *bufio.Reader, text string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer
}

// wantRound asks, and expects the answer of the configuration with a number.
func (s *site) wantRound(c net.Conn, from *bufio.Reader, want string) {
	s.t.Helper()
	answer := ask(s.t, c, from, s.get()+"\r\n")
	if got := answer.Header.Get("X-Round"); answer.StatusCode != 200 || got != want {
		s.t.Errorf("status %d from configuration %q, want 200 from %q", answer.StatusCode, got, want)
	}
}

func TestAConnectionBetweenTwoRequestsGoesOnWithTheNextConfiguration(t *testing.T) {
	s := newSite(t, "", standard)
	c, from := s.dial()
	s.wantRound(c, from, "")
	for i := range 3 {
		s.reload(i)
		s.wantRound(c, from, fmt.Sprint(i))
	}
}

func TestAConnectionThatHasSentNothingGoesOnWithTheNextConfiguration(t *testing.T) {
	s := newSite(t, "", standard)
	c, from := s.dial()
	// Its server has it when it has answered one that came later.
	later, fromLater := s.dial()
	s.wantRound(later, fromLater, "")
	s.reload(1)
	s.wantRound(c, from, "1")
}

func TestRequestsSentTogetherAreAllAnsweredAcrossAReload(t *testing.T) {
	s := newSite(t, "", standard)
	c, from := s.dial()
	reached, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.upstream.answer = func(w http.ResponseWriter, _ *http.Request) {
		once.Do(func() { close(reached) })
		<-goOn
		fmt.Fprint(w, "ok")
	}
	if _, err := io.WriteString(c, strings.Repeat(s.get()+"\r\n", 2)); err != nil {
		t.Fatal(err)
	}
	<-reached
	s.reload(1)
	close(goOn)
	// The former server says with its answer that it is the last: a client
	// knows then what became of its second request (RFC 9112, section 9.6).
	answer, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 200 || !answer.Close {
		t.Errorf("status %d, last: %v; want 200 and the last", answer.StatusCode, answer.Close)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Fatal(err)
	}
	if _, err := from.ReadByte(); err == nil {
		t.Error("the connection goes on")
	}
}

func TestARequestThatIsComingInDuringAReloadIsAnswered(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	c, from := s.dial()
	s.wantRound(c, from, "")
	if _, err := io.WriteString(c, "POST /rest/search HTTP/1.1\r\nHost: "+s.address+"\r\nX-API-"); err != nil {
		t.Fatal(err)
	}
	s.awaitBusy() // else the connection moves, and the next configuration hears all of it
	loaded := make(chan error)
	go func() { loaded <- s.load("", "header X-Round 1\n"+standard) }()
	s.awaitEntrances(2) // it has begun
	if answer := ask(t, c, from, "Key: "+secret+"\r\nContent-Length: 2\r\n\r\n{}"); answer.StatusCode != 200 {
		t.Errorf("status %d", answer.StatusCode)
	}
	if err := <-loaded; err != nil {
		t.Error(err)
	}
}

// awaitBusy waits until a request has begun to come in.
func (s *site) awaitBusy() {
	s.t.Helper()
	d := s.doorAt()
	for began := time.Now(); ; runtime.Gosched() {
		if e, _ := d.turns(); e.busy(time.Now(), time.Now()) {
			return
		}
		if time.Since(began) > 10*time.Second {
			s.t.Fatal("nothing has come in")
		}
	}
}

// awaitEntrances waits until n configurations listen at the site's address.
func (s *site) awaitEntrances(n int) {
	s.t.Helper()
	d := s.doorAt()
	for began := time.Now(); ; runtime.Gosched() {
		doors.Lock()
		got := len(d.entrances)
		doors.Unlock()
		if got == n {
			return
		}
		if time.Since(began) > 10*time.Second {
			s.t.Fatalf("%d configurations listen, want %d", got, n)
		}
	}
}

// acceptGuest returns a connection as a server has it, and the client's end.
func acceptGuest(t *testing.T) (*guest, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	e := &entrance{idle: time.Minute, arrivals: make(chan arrival), closed: make(chan struct{}), guests: map[*guest]struct{}{}}
	e.door = &door{entrances: []*entrance{e}, turn: make(chan struct{}), parked: map[*net.TCPConn]struct{}{}}
	return &guest{TCPConn: conn.(*net.TCPConn), entrance: e}, client
}

// net/http looks whether the server shuts down after it has said that a request
// is active, and before it calls the handler: it drops the request if so.
func TestAReloadWaitsUntilWhatHasBeenReadIsHandled(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin func(*guest)
	}{
		{"active when asked to leave", func(g *guest) { g.note(http.StateActive); g.leave() }},
		{"active after that", func(g *guest) { g.leave(); g.note(http.StateActive) }},
		{"active, and asked twice", func(g *guest) { g.note(http.StateActive); g.leave(); g.leave() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, _ := acceptGuest(t)
			g.note(http.StateNew)
			before := time.Now()
			c.begin(g)
			if !g.busy(before, before.Add(handleTime)) {
				t.Error("it does not wait")
			}
			if g.busy(before, time.Now().Add(handleTime)) {
				t.Error("it waits for the answer")
			}
			g.note(http.StateIdle)
			if g.busy(before, before) {
				t.Error("it waits when the request is answered")
			}
		})
	}
}

// A server that shuts down closes connections whose answer has just gone out
// before it closes its listener.
func TestAConnectionThatIsLeavingStaysOpenWhenItsServerClosesIt(t *testing.T) {
	g, client := acceptGuest(t)
	g.note(http.StateNew)
	g.note(http.StateActive)
	g.leave()
	g.note(http.StateIdle)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g.note(http.StateClosed)
	if _, err := io.WriteString(client, "GET"); err != nil {
		t.Fatal(err)
	}
	if err := client.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !isTimeout(errors.Unwrap(err)) {
		t.Errorf("the client reads %v, want nothing", err)
	}
}

// The first bytes of the next request may be there when the answer goes out.
func TestAConnectionLeavesWithTheNextRequest(t *testing.T) {
	v := active(t)
	v.readByte(t)
	v.write(t, "GET")
	v.note(http.StateIdle)
	v.leave()
	v.wantLeft(t)
	wantRead(t, (<-v.entrance.arrivals).conn, "GET")
}

func TestAConnectionStaysWhenTheNextRequestHasBegun(t *testing.T) {
	v := active(t)
	v.note(http.StateIdle)
	v.write(t, "GE")
	wantRead(t, v, "GE")
	v.leave()
	if !v.busy(time.Now(), time.Now()) {
		t.Error("a reload does not wait for the request")
	}
	v.write(t, "T")
	wantRead(t, v, "T")
}

func TestTheSocketStaysAcrossReloads(t *testing.T) {
	s := newSite(t, "", standard)
	before := s.doorAt()
	for i := range 3 {
		s.reload(i)
		s.awaitEntrances(1)
	}
	if s.doorAt() != before {
		t.Error("another socket is open")
	}
	if runtime.GOOS == "linux" && !before.steered {
		t.Error("connections are not steered to it")
	}
	if n := caddy.ListenerUsage("tcp", s.port()); n != 1 {
		t.Errorf("Caddy counts %d users of the address, want 1: shutdown_delay goes by that", n)
	}
}

func TestAnAddressThatIsRemovedIsClosed(t *testing.T) {
	s := newSite(t, "", standard)
	idle, from := s.dial()
	s.wantRound(idle, from, "")
	former := s.address
	t.Setenv("ADDRESS", freeport.Addresses(t, 1)[0])
	s.reload(1)
	if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("its idle connection: %v, want EOF", err)
	}
	for began := time.Now(); ; runtime.Gosched() { // servers shut down in the background
		c, err := net.Dial("tcp", former)
		if err != nil {
			break
		}
		c.Close()
		if time.Since(began) > 10*time.Second {
			t.Fatal("it still accepts connections")
		}
	}
}

func TestParkedConnectionsEndWithTheirAddress(t *testing.T) {
	s := newSite(t, "", standard)
	c, from := s.dial()
	s.wantRound(c, from, "")
	s.reload(1)
	s.awaitEntrances(1)
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want EOF", err)
	}
}

func TestAfterAFailedReloadTheFormerServerAccepts(t *testing.T) {
	s := newSite(t, "", standard)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	t.Setenv("TAKEN", taken.Addr().String())
	c, from := s.dial()
	for i := range 6 { // the order in which servers are started is random
		t.Setenv("ROUND", fmt.Sprint(i))
		if s.load("", "header X-Round {$ROUND}\n"+standard+"\n}\nhttp://{$TAKEN} {\nrespond taken") == nil {
			t.Fatal("a port that is taken was opened")
		}
		s.awaitEntrances(1)
		s.wantRound(c, from, "")
		fresh, fromFresh := s.dial()
		s.wantRound(fresh, fromFresh, "")
	}
}

// posting is 50 clients that send one request after the other.
type posting struct {
	t        *testing.T
	answered atomic.Int64
	lost     atomic.Int64
	stop     context.CancelFunc
	working  sync.WaitGroup
}

func (s *site) post() *posting {
	_, secret := s.key()
	p := &posting{t: s.t}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}}
	ctx, stop := context.WithCancel(s.t.Context())
	p.stop = stop
	for i := range 50 {
		p.working.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.address+"/rest/search", nil)
				if err != nil {
					s.t.Error(err)
					return
				}
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), 2 // it can't be sent twice
				r.Close = i%5 == 0
				r.Header.Set("X-API-Key", secret)
				answer, err := client.Do(r)
				if ctx.Err() == nil {
					p.note(answer, err)
				}
				if err == nil {
					answer.Body.Close()
				}
			}
		})
	}
	return p
}

func (p *posting) note(answer *http.Response, err error) {
	switch {
	case err != nil:
		p.lost.Add(1)
		p.t.Error(err)
	case answer.StatusCode != http.StatusOK:
		p.lost.Add(1)
		p.t.Errorf("answered %s", answer.Status)
	default:
		p.answered.Add(1)
	}
}

// await waits until n more requests were answered, or one was not.
func (p *posting) await(n int64) {
	for from := p.answered.Load(); p.answered.Load() < from+n && p.lost.Load() == 0; {
		runtime.Gosched()
	}
}

func (p *posting) end() {
	p.stop()
	p.working.Wait()
}

func TestReloadsLoseNoPost(t *testing.T) {
	s := newSite(t, "", standard)
	p := s.post()
	defer p.end()
	for i := range 10 {
		p.await(100)
		s.reload(i)
	}
}

// Caddy starts the servers of a configuration before its app fails to open the
// store, or after that: the order is random.
func TestAReloadWhoseStoreDoesNotOpenTakesNoRequest(t *testing.T) {
	s := newSite(t, "", standard)
	p := s.post()
	defer p.end()
	for i := range 10 {
		p.await(100)
		t.Setenv("ROUND", fmt.Sprint(i))
		err := s.load("api_keys {\nstore sqlite /proc/none/{$ROUND}.db\n}", standard)
		if err == nil || !strings.Contains(err.Error(), "/proc/none") {
			t.Fatalf("the reload said %v, want what is wrong with the store", err)
		}
		s.awaitEntrances(1)
	}
	p.await(100)
}

func TestOperatorsListenerWrappersStay(t *testing.T) {
	s := newSite(t, "servers {\nlistener_wrappers {\nproxy_protocol {\ntimeout 2s\nallow 127.0.0.0/8\n}\n}\n}\n", standard)
	for i := range 2 {
		c, from := s.dial()
		if answer := ask(t, c, from, "PROXY TCP4 192.0.2.7 192.0.2.8 1000 80\r\n"+s.get()+"\r\n"); answer.StatusCode != 200 {
			t.Fatalf("status %d", answer.StatusCode)
		}
		if got := s.upstream.last(t, i+1).Header.Get("X-Forwarded-For"); got != "192.0.2.7" {
			t.Errorf("the client is %q, want what the PROXY header says", got)
		}
		if err := s.load("servers {\nlistener_wrappers {\nproxy_protocol {\ntimeout 3s\nallow 127.0.0.0/8\n}\n}\n}\n", standard); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOverTLSClientsAreToldToOpenAnotherConnection(t *testing.T) {
	keeper := new(socketKeeper)
	overTLS := &http.Request{TLS: new(tls.ConnectionState), ProtoMajor: 1}
	for _, c := range []struct {
		name     string
		relieved bool
		r        *http.Request
		want     string
	}{
		{"no reload", false, overTLS, ""},
		{"reload", true, overTLS, "close"},
		{"reload, HTTP/2 says it itself", true, &http.Request{TLS: overTLS.TLS, ProtoMajor: 2}, ""},
		{"reload, without TLS the connection moves", true, &http.Request{ProtoMajor: 1}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			keeper.relieved.Store(c.relieved)
			w := discard{http.Header{}}
			keeper.partWith(w, c.r)
			if got := w.h.Get("Connection"); got != c.want {
				t.Errorf("Connection: %q, want %q", got, c.want)
			}
		})
	}
	(*socketKeeper)(nil).partWith(discard{}, overTLS) // a server that can't be kept
}

func TestWhatIsNoBareSocketIsLeftAlone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	k := &socketKeeper{server: new(caddyhttp.Server), log: zap.NewNop()}
	for _, other := range []net.Listener{l, tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12}), new(entrance)} {
		if got := k.WrapListener(other); got != other {
			t.Errorf("a %T became a %T", other, got)
		}
	}
}

func TestTheKeeperStandsFirstAndOnce(t *testing.T) {
	server := new(caddyhttp.Server)
	core, logged := observer.New(zap.WarnLevel)
	log := zap.New(core)
	wrappers := field[[]caddy.ListenerWrapper](server, "listenerWrappers")
	if wrappers == nil {
		t.Fatal("this Caddy has no such field")
	}
	*wrappers = []caddy.ListenerWrapper{new(caddyhttp.HTTPRedirectListenerWrapper)}
	first := keepSocket(server, nil, log)
	if second := keepSocket(server, nil, log); second != first || first == nil {
		t.Error("a second handler of a server has another keeper")
	}
	if len(*wrappers) != 2 || (*wrappers)[0] != caddy.ListenerWrapper(first) {
		t.Errorf("the wrappers are %v", *wrappers)
	}
	if logged.Len() != 0 {
		t.Error("it warned")
	}
	if keepSocket(nil, nil, log) != nil {
		t.Error("there is a keeper without a server")
	}
}
