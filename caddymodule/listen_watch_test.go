package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"time"
)

// heardOf is what a read brought.
type heardOf struct {
	n    int
	err  error
	took time.Duration
}

// readByte reads as net/http does during a request.
func readByte(g *guest) <-chan heardOf {
	heard := make(chan heardOf, 1)
	began := time.Now()
	go func() {
		n, err := g.Read(make([]byte, 1))
		heard <- heardOf{n, err, time.Since(began)}
	}()
	return heard
}

// active returns a guest during a request, and its client.
func active(t *testing.T) (*guest, io.WriteCloser) {
	t.Helper()
	g, client := acceptGuest(t)
	g.note(http.StateNew)
	g.note(http.StateActive)
	return g, client
}

// await waits until something is so, which the guest's lock guards.
func await(t *testing.T, g *guest, what string, is func() bool) {
	t.Helper()
	locked := func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return is()
	}
	for began := time.Now(); !locked(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("not seen: %s", what)
		}
	}
}

func awaitWait(t *testing.T, g *guest) {
	t.Helper()
	await(t, g, "a read waits", func() bool { return g.waiting })
}

func setReadDeadline(t *testing.T, g *guest, at time.Time) {
	t.Helper()
	if err := g.SetReadDeadline(at); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting {
		t.Error("a read goes on waiting")
	}
}

func TestANetHTTPReadInTheBackgroundEndsByItsDeadline(t *testing.T) {
	g, client := active(t)
	for range 3 {
		heard := readByte(g)
		awaitWait(t, g)
		setReadDeadline(t, g, time.Unix(1, 0))
		if got := <-heard; got.n != 0 || !isTimeout(got.err) {
			t.Errorf("read %d bytes, %v; want a timeout", got.n, got.err)
		}
		if !g.set.IsZero() {
			t.Error("the connection's own deadline was set")
		}
		setReadDeadline(t, g, time.Time{})
	}
	// What comes now is there for whoever reads next.
	if _, err := io.WriteString(client, "GET"); err != nil {
		t.Fatal(err)
	}
	g.note(http.StateIdle)
	if n, err := g.Read(make([]byte, 8)); n != 3 || err != nil {
		t.Errorf("read %d bytes, %v; want 3", n, err)
	}
}

func TestAReadThatIsGivenUpBeforeItBeginsReturnsAtOnce(t *testing.T) {
	g, _ := active(t)
	setReadDeadline(t, g, time.Unix(1, 0))
	if got := <-readByte(g); !errors.Is(got.err, os.ErrDeadlineExceeded) || !isTimeout(got.err) {
		t.Errorf("%v, want a timeout", got.err)
	}
	if g.waits != 0 {
		t.Error("it waited first")
	}
}

func TestAClientThatGoesIsNoticed(t *testing.T) {
	g, client := active(t)
	heard := readByte(g)
	awaitWait(t, g)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-heard; !errors.Is(got.err, io.EOF) || got.took < patience {
		t.Errorf("%v after %s, want EOF after %s or more", got.err, got.took, patience)
	}
}

func TestTheTimerOfOneReadDoesNotEndTheNext(t *testing.T) {
	g, _ := active(t)
	g.waits, g.timedFor = 1, 1 // the timer of a read before this runs
	heard := readByte(g)
	awaitWait(t, g)
	began := time.Now()
	g.waitOver()
	g.mu.Lock()
	waiting := g.waiting
	g.mu.Unlock()
	if !waiting && time.Since(began) < patience {
		t.Error("it ended the next one")
	}
	await(t, g, "its own is over", func() bool { return g.reading })
	setReadDeadline(t, g, time.Unix(1, 0)) // reaches a read that is under way
	if got := <-heard; !isTimeout(got.err) || got.took < patience {
		t.Errorf("%v after %s, want a timeout", got.err, got.took)
	}
}

func TestDeadlinesForReadingHold(t *testing.T) {
	for name, begin := range map[string]func(*guest, time.Time) error{
		"for reading":            (*guest).SetReadDeadline,
		"for both":               (*guest).SetDeadline,
		"for what is no byte":    func(g *guest, at time.Time) error { g.note(http.StateIdle); return g.SetReadDeadline(at) },
		"for who has taken over": func(g *guest, at time.Time) error { g.note(http.StateHijacked); return g.SetReadDeadline(at) },
	} {
		t.Run(name, func(t *testing.T) {
			g, _ := active(t)
			if err := begin(g, time.Now().Add(10*time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if got := <-readByte(g); !isTimeout(got.err) {
				t.Errorf("%v, want a timeout", got.err)
			}
		})
	}
}

func TestADeadlineEndsAReadThatWaits(t *testing.T) {
	g, _ := active(t)
	heard := readByte(g)
	awaitWait(t, g)
	setReadDeadline(t, g, time.Now().Add(time.Millisecond))
	if got := <-heard; !isTimeout(got.err) {
		t.Errorf("%v, want a timeout", got.err)
	}
}

// Whoever takes a connection over may read from what is below a guest.
func TestWhoTakesAConnectionOverFindsNoFormerDeadline(t *testing.T) {
	g, client := active(t)
	setReadDeadline(t, g, time.Now().Add(20*time.Millisecond))
	g.note(http.StateIdle)
	if _, err := io.WriteString(client, "G"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Read(make([]byte, 8)); err != nil { // which sets it
		t.Fatal(err)
	}
	g.note(http.StateActive)
	if err := g.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	g.note(http.StateHijacked)
	time.AfterFunc(40*time.Millisecond, func() { _, _ = io.WriteString(client, "frame") }) // the read fails if this does
	if n, err := g.TCPConn.Read(make([]byte, 8)); n != 5 || err != nil {
		t.Errorf("read %d bytes, %v; want 5", n, err)
	}
	at := time.Now().Add(time.Minute)
	if setReadDeadline(t, g, at); !g.set.Equal(at) {
		t.Error("a deadline of who has taken over waits for a read")
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
