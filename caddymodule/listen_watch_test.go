package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// visit is a connection during a request.
type visit struct {
	*guest
	client *net.TCPConn
	ctx    context.Context // of its requests
}

// active returns one that has just begun.
func active(t *testing.T) *visit {
	t.Helper()
	g, client := acceptGuest(t)
	v := &visit{g, client.(*net.TCPConn), watchClient(t.Context(), g)}
	g.note(http.StateNew)
	g.note(http.StateActive)
	return v
}

// await waits until something is so, which the guest's lock guards.
func (v *visit) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	locked := func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		return is()
	}
	for began := time.Now(); !locked(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("not seen: %s", what)
		}
	}
}

// readByte reads as net/http does during a request, and must be told that
// nothing came.
func (v *visit) readByte(t *testing.T) {
	t.Helper()
	if n, err := v.Read(make([]byte, 1)); n != 0 || err != nil {
		t.Fatalf("read %d bytes, %v; want none", n, err)
	}
}

// peeked reads so, and waits until the client is looked for.
func (v *visit) peeked(t *testing.T) {
	t.Helper()
	v.readByte(t)
	v.await(t, "it is looked for the client", func() bool { return v.peeking })
}

// wantRead reads what the client sent.
func wantRead(t *testing.T, from io.Reader, want string) {
	t.Helper()
	p := make([]byte, len(want)+1)
	if n, err := from.Read(p); err != nil || string(p[:n]) != want {
		t.Errorf("read %q, %v; want %q", p[:n], err, want)
	}
}

// wantLeft reads as net/http does, which finds that the connection has left.
func (v *visit) wantLeft(t *testing.T) {
	t.Helper()
	if n, err := v.Read(make([]byte, 8)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v; want EOF: it has left", n, err)
	}
}

// wantEnd waits for the requests' end, and returns how long that took.
func (v *visit) wantEnd(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	select {
	case <-v.ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the request goes on")
	}
	return time.Since(began)
}

// wantNoEnd waits for longer than a client that goes is noticed.
func (v *visit) wantNoEnd(t *testing.T) {
	t.Helper()
	select {
	case <-v.ctx.Done():
		t.Error("the request was ended")
	case <-time.After(3 * patience):
	}
}

func (v *visit) write(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(v.client, text); err != nil {
		t.Fatal(err)
	}
}

func (v *visit) setReadDeadline(t *testing.T, at time.Time) {
	t.Helper()
	if err := v.SetReadDeadline(at); err != nil {
		t.Fatal(err)
	}
}

func TestNetHTTPIsToldAtOnceThatNothingHasCome(t *testing.T) {
	v := active(t)
	for range 3 {
		v.readByte(t)
		v.setReadDeadline(t, longAgo) // should the read not be back yet
		v.setReadDeadline(t, time.Time{})
		v.note(http.StateIdle)
		if v.looks || v.peeking || !v.set.IsZero() {
			t.Error("a request that is over leaves something behind")
		}
		v.note(http.StateActive)
	}
	v.readByte(t)
	v.write(t, "GET")
	v.note(http.StateIdle)
	wantRead(t, v, "GET") // all of it is there for whoever reads next
}

func TestAReadThatIsGivenUpBeforeItBeginsLooksForNobody(t *testing.T) {
	v := active(t)
	v.setReadDeadline(t, longAgo)
	if n, err := v.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !isTimeout(err) {
		t.Errorf("read %d bytes, %v; want a timeout", n, err)
	}
	if v.looks || v.asked != 0 {
		t.Error("it is looked for the client")
	}
}

func TestAClientThatGoesIsNoticed(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"closed":      (*net.TCPConn).Close,
		"half closed": (*net.TCPConn).CloseWrite, // which net/http takes for the end as well
		"reset":       func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) },
	} {
		for when, begin := range map[string]func(*visit, *testing.T){
			"before it is looked for": (*visit).readByte,
			"after":                   (*visit).peeked,
		} {
			t.Run(name+" "+when, func(t *testing.T) {
				v := active(t)
				begin(v, t)
				if err := leave(v.client); err != nil {
					t.Fatal(err)
				}
				if took := v.wantEnd(t); when != "after" && took < patience/2 {
					t.Errorf("after %s", took)
				}
			})
		}
	}
}

func TestTheNextRequestIsNoEnd(t *testing.T) {
	v := active(t)
	v.peeked(t)
	v.write(t, "GET")
	v.await(t, "something has come in", func() bool { return !v.peeking })
	v.wantNoEnd(t)
	v.note(http.StateIdle)
	wantRead(t, v, "GET")
}

func TestARequestThatIsOverIsNotEnded(t *testing.T) {
	for name, begin := range map[string]func(*visit, *testing.T){
		"before its client is looked for": (*visit).readByte,
		"while it is":                     (*visit).peeked,
	} {
		t.Run(name, func(t *testing.T) {
			v := active(t)
			begin(v, t)
			v.note(http.StateIdle)
			if v.peeking {
				t.Error("something still waits for the client")
			}
			if err := v.client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			v.wantNoEnd(t)
			if n, err := v.Read(make([]byte, 8)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("read %d bytes, %v; want EOF", n, err)
			}
		})
	}
}

func TestTheTimerOfOneRequestIsNotForTheNext(t *testing.T) {
	v := active(t)
	v.readByte(t)
	v.note(http.StateIdle)
	v.note(http.StateActive)
	v.readByte(t)
	began := time.Now()
	v.patienceOver()
	v.mu.Lock()
	peeking := v.peeking
	v.mu.Unlock()
	if peeking && time.Since(began) < patience {
		t.Error("it is for the next one")
	}
	v.await(t, "its own is over", func() bool { return v.peeking })
	if took := time.Since(began); took < patience/2 {
		t.Errorf("it is looked for the client after %s", took)
	}
}

func TestDeadlinesForReadingHold(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(*guest, time.Time) error
		read  int
	}{
		"between requests":       {func(g *guest, at time.Time) error { g.note(http.StateIdle); return g.SetReadDeadline(at) }, 1},
		"of a body":              {(*guest).SetReadDeadline, 8},
		"of a body, for both":    {(*guest).SetDeadline, 8},
		"for who has taken over": {func(g *guest, at time.Time) error { g.note(http.StateHijacked); return g.SetReadDeadline(at) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			v := active(t)
			if err := c.begin(v.guest, time.Now().Add(10*time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, err := v.Read(make([]byte, c.read)); n != 0 || !isTimeout(err) {
				t.Errorf("read %d bytes, %v; want a timeout", n, err)
			}
		})
	}
}

// A deadline for reading ends what net/http does in the background, and that
// the request: it is how requests are cut off.
func TestADeadlineForReadingEndsTheRequest(t *testing.T) {
	for name, begin := range map[string]func(*visit, *testing.T){
		"set before": func(v *visit, t *testing.T) {
			v.setReadDeadline(t, time.Now().Add(time.Millisecond))
			v.readByte(t)
		},
		"set after": func(v *visit, t *testing.T) {
			v.readByte(t)
			v.setReadDeadline(t, time.Now().Add(time.Millisecond))
			v.mu.Lock()
			defer v.mu.Unlock()
			if !v.peeking && v.ctx.Err() == nil {
				t.Error("it has to wait")
			}
		},
		"set when it has passed": func(v *visit, t *testing.T) {
			v.readByte(t)
			v.setReadDeadline(t, time.Unix(2, 0))
		},
		"set while it is looked for the client": func(v *visit, t *testing.T) {
			v.peeked(t)
			v.setReadDeadline(t, time.Now().Add(time.Millisecond))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := active(t)
			begin(v, t)
			v.wantEnd(t)
		})
	}
	t.Run("but not if it is taken back", func(t *testing.T) {
		v := active(t)
		v.readByte(t)
		v.setReadDeadline(t, time.Now().Add(patience/2))
		v.setReadDeadline(t, time.Time{})
		v.wantNoEnd(t)
	})
}

// net/http may say that it is done with a request, while a goroutine of its own
// has not come round to taking note of what it read.
func TestThatNetHTTPIsDoneEndsNoRequest(t *testing.T) {
	for name, begin := range map[string]func(*visit, *testing.T){"before": (*visit).readByte, "while": (*visit).peeked} {
		t.Run(name+" it is looked for the client", func(t *testing.T) {
			v := active(t)
			begin(v, t)
			v.setReadDeadline(t, longAgo)
			time.Sleep(5 * time.Millisecond)
			v.setReadDeadline(t, time.Time{})
			v.note(http.StateIdle)
			v.write(t, "GET")
			wantRead(t, v, "GET")
			v.wantNoEnd(t)
		})
	}
}

// Another deadline does not keep what ends by longAgo from ending.
func TestADeadlineIsNotSetWhileTheLookingEnds(t *testing.T) {
	v := active(t)
	v.peeked(t)
	v.mu.Lock() // as stopLooking does, which then waits
	v.looks = false
	err := v.setRaw(longAgo)
	v.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	v.setReadDeadline(t, time.Time{})
	v.await(t, "the looking has ended", func() bool { return !v.peeking })
	if err := v.ctx.Err(); err != nil {
		t.Errorf("the request was ended: %v", err)
	}
}

func TestNobodyIsLookedForWhereNetHTTPDoesSoItself(t *testing.T) {
	g, client := acceptGuest(t)
	g.note(http.StateNew)
	g.note(http.StateActive)
	time.AfterFunc(10*time.Millisecond, func() { _ = client.Close() }) // the read would not end
	if n, err := g.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v; want EOF", n, err)
	}
}

func TestAConnectionLeavesWhileItsClientIsLookedFor(t *testing.T) {
	v := active(t)
	v.peeked(t)
	v.leave()
	v.note(http.StateIdle)
	v.wantLeft(t)
	v.write(t, "GET")
	next := (<-v.entrance.arrivals).conn
	// What its former server does with it is no longer felt.
	if err := errors.Join(v.SetReadDeadline(longAgo), v.SetWriteDeadline(longAgo), v.SetDeadline(longAgo)); err != nil {
		t.Error(err)
	}
	wantRead(t, next, "GET")
	if _, err := next.Write([]byte("200")); err != nil {
		t.Errorf("the next one writes: %v", err)
	}
}

// Whoever takes a connection over may read from what is below a guest.
func TestWhoTakesAConnectionOverFindsNoFormerDeadline(t *testing.T) {
	for name, begin := range map[string]func(*visit, *testing.T){
		"at once":                         func(*visit, *testing.T) {},
		"before the client is looked for": (*visit).readByte,
		"while the client is looked for":  (*visit).peeked,
		"when a deadline has passed":      func(v *visit, t *testing.T) { v.setReadDeadline(t, time.Now().Add(-time.Second)) },
	} {
		t.Run(name, func(t *testing.T) {
			v := active(t)
			v.setReadDeadline(t, time.Now().Add(20*time.Millisecond))
			v.setWriteDeadline(t, 20*time.Millisecond)
			v.note(http.StateIdle)
			v.write(t, "G")
			wantRead(t, v, "G") // which sets it
			v.note(http.StateActive)
			v.setReadDeadline(t, time.Time{})
			begin(v, t)
			if err := v.SetDeadline(time.Time{}); err != nil {
				t.Fatal(err)
			}
			v.note(http.StateHijacked)
			time.AfterFunc(40*time.Millisecond, func() { _, _ = io.WriteString(v.client, "frame") }) // the read fails if this does
			if n, err := v.TCPConn.Read(make([]byte, 8)); n != 5 || err != nil {
				t.Errorf("read %d bytes, %v; want 5", n, err)
			}
			if _, err := v.TCPConn.Write([]byte("frame")); err != nil {
				t.Error(err)
			}
			at := time.Now().Add(time.Minute)
			if err := v.SetDeadline(at); err != nil || !v.set.Equal(at) || !v.writeSet.Equal(at) {
				t.Errorf("a deadline of who has taken over waits: %v", err)
			}
		})
	}
}

// Through Caddy and a proxy: the upstream's request ends with the client.
func TestTheUpstreamHearsOfAClientThatGoes(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	reached, gone := make(chan struct{}), make(chan struct{})
	s.upstream.answer = func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		<-r.Context().Done()
		close(gone)
	}
	c, _ := s.dial()
	if _, err := io.WriteString(c, "GET /rest/users HTTP/1.1\r\nHost: "+s.address+"\r\nX-API-Key: "+secret+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the upstream goes on")
	}
}

// Many clients, most of which stay, with short and long requests one after the
// other on their connections: those that go are noticed, and no others.
func TestNoRequestEndsWhoseClientStays(t *testing.T) {
	s := newSite(t, "", standard)
	_, secret := s.key()
	var ended, reached, noticed atomic.Int64
	s.upstream.answer = func(w http.ResponseWriter, r *http.Request) {
		lasts, err := time.ParseDuration(r.Header.Get("X-Lasts"))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if lasts == goes {
			reached.Add(1)
		}
		select {
		case <-time.After(lasts):
		case <-r.Context().Done():
			if lasts == goes {
				noticed.Add(1)
			} else {
				ended.Add(1)
			}
		}
	}
	const clients, rounds = 40, 6
	var all errgroup.Group
	for i := range clients {
		all.Go(func() error {
			for round := range rounds {
				if err := s.askAndGo(secret, i, round); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	// On a busy machine some are noticed before the upstream hears of them.
	s.eventually("all that went are noticed", func() bool { return noticed.Load() == reached.Load() })
	if n := reached.Load(); n < clients*rounds/2 {
		t.Errorf("%d requests whose clients went have reached the upstream, of %d", n, clients*rounds)
	}
	if n := ended.Load(); n > 0 {
		t.Errorf("%d requests were ended whose clients stayed", n)
	}
}

// goes is how long the request would last whose client does not wait for it.
const goes = time.Minute

// askAndGo sends requests over one connection, which last from nothing to some
// times as long as it takes to look for the client, and goes during another: by
// closing the connection, or by saying that nothing more comes, which has the
// gateway close it.
func (s *site) askAndGo(secret string, i, round int) error {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(goes / 2)); err != nil {
		return err
	}
	send := func(lasts time.Duration) error {
		_, err := fmt.Fprintf(conn, "GET /rest/users HTTP/1.1\r\nHost: %s\r\nX-API-Key: %s\r\nX-Lasts: %s\r\n\r\n", s.address, secret, lasts)
		return err
	}
	from := bufio.NewReader(conn)
	for n := range 5 {
		lasts := time.Duration((i*7+round*3+n*11)%16) * patience / 5
		if err := send(lasts); err != nil {
			return err
		}
		answer, err := http.ReadResponse(from, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("a request of %s is answered with %s", lasts, answer.Status)
		}
	}
	if err := send(goes); err != nil {
		return err
	}
	time.Sleep(time.Duration(i%3) * patience)
	if round%2 == 0 {
		return nil
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, from)
	return err
}

func TestTheServersTimeoutsHold(t *testing.T) {
	for name, c := range map[string]struct{ timeouts, second string }{
		"between two requests":    {"idle 200ms", ""},
		"in the second's headers": {"read_header 200ms", "GET /healthz HTTP/1.1\r\nHost: x\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "servers {\ntimeouts {\n"+c.timeouts+"\n}\n}\n", standard)
			conn, from := s.dial()
			s.wantRound(conn, from, "")
			began := time.Now()
			if _, err := io.WriteString(conn, c.second); err != nil {
				t.Fatal(err)
			}
			if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("%v, want that the server closes the connection", err)
			}
			if took := time.Since(began); took < 200*time.Millisecond {
				t.Errorf("it was closed after %s", took)
			}
		})
	}
}
