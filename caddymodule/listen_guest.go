package caddymodule

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// guest is a connection at the server of one configuration. When another
// configuration takes over, the former server would close the connections that
// are between two requests, and drop, unanswered, what is just coming in on
// them: of 200 clients that send one POST after the other, a reload hit every
// second one. So a guest leaves before its server shuts down: it goes back to
// the door, and the new configuration answers what comes.
//
// Where it can leave is decided in Read, which knows whether anything of a
// request has come: if so, the former server answers it first.
//
// TLS has a state that can't move to another server. Those connections, and
// all that have something between their server and the guest, are closed as
// ever; partWith tells clients in time, and so does HTTP/2 itself.
type guest struct {
	*net.TCPConn
	entrance *entrance

	mu sync.Mutex
	// direct says that net/http has told of it: nothing lies between.
	direct bool
	state  http.ConnState
	// heard says that something came in since the last request was answered.
	heard bool
	// heardAt is when something came in last, where direct does not tell more.
	heardAt time.Time
	reading bool
	// broken says that Read has failed: what follows is a real end.
	broken bool
	// leaving says that it shall leave; woken, that a deadline ends a Read for
	// that; moved, that it has left, and what is here is a shell.
	leaving, woken, moved bool
	// closing says that Close was called while state was StateActive.
	closing bool
	// activeAt is when state became StateActive, or when it was first asked to
	// leave during that, whichever was later.
	activeAt time.Time
	// watch is how clients that go are looked for.
	watch
	writing
	// preface counts how much of http2Preface it began with; -1: it did not.
	preface int
}

// http2Preface is how HTTP/2 without TLS begins (RFC 9113, section 3.4), as
// far as no HTTP/1 request can. Those connections end in their own way.
const http2Preface = "PRI "

// noteState hears of connections from net/http. A connection that has more
// around it than its server, such as TLS, comes as something else.
func noteState(c net.Conn, state http.ConnState) {
	if g, ok := c.(*guest); ok {
		g.note(state)
	}
}

// note hears what state net/http sees the connection in. The last it says of
// one, after it has closed it, is StateClosed.
func (g *guest) note(state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopLooking()
	g.direct, g.state = true, state
	switch state {
	case http.StateActive:
		if g.leaving {
			g.activeAt = time.Now()
		}
	case http.StateIdle:
		g.heard = false
		// net/http counts it as idle a moment before it says so.
		g.leaving, g.closing = g.leaving || g.closing, false
	case http.StateHijacked:
		g.leaving = false
		_, _ = g.setDue(), g.setWriteDue() // whoever has it now sets what it needs, and sees errors
		g.entrance.forget(g)
	case http.StateClosed:
		if g.closing {
			_ = g.end() // net/http did not look at the error either
		} else if g.leaving {
			// Its answer began before the server shut down and ended after
			// that: the client has not been told, and will send its next request.
			g.move()
		}
	}
}

// Read implements net.Conn.
func (g *guest) Read(p []byte) (int, error) {
	if begun, err := g.beginRead(p); !begun {
		return 0, err
	}
	n, err := g.TCPConn.Read(p)
	return g.endRead(p, n, err)
}

func (g *guest) beginRead(p []byte) (begun bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.looksForClient(p) {
		return false, g.lookLater()
	}
	g.stopLooking()
	if g.leaving && g.mayLeave() {
		g.move()
	}
	if g.moved {
		return false, io.EOF
	}
	if err := g.setDue(); err != nil {
		return false, err
	}
	g.reading = true
	return true, nil
}

func (g *guest) endRead(p []byte, n int, err error) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reading = false
	woken := g.woken
	g.woken = false
	if n > 0 {
		g.sniff(p[:n])
		g.heard = true
		if !g.direct { // reading the clock costs more than the rest of this
			g.heardAt = time.Now()
		}
		if woken { // too late: it stays for this request
			err = g.setRaw(time.Time{}) // net/http sets its own next
		}
		return n, err
	}
	if woken && isTimeout(err) {
		g.move()
		return 0, io.EOF // which net/http takes in silence
	}
	// net/http ends a Read of its own by a deadline, to go on reading later.
	g.broken = g.broken || err != nil && !isTimeout(err)
	return n, err
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error) //nolint:errorlint // it comes from TCPConn.Read as it is
	return ok && e.Timeout()
}

func (g *guest) sniff(p []byte) {
	for g.preface >= 0 && g.preface < len(http2Preface) && len(p) > 0 {
		if p[0] != http2Preface[g.preface] {
			g.preface = -1
			return
		}
		g.preface++
		p = p[1:]
	}
}

// mayLeave says that the connection is between two requests, or before the
// first one.
func (g *guest) mayLeave() bool {
	return g.direct && !g.heard && !g.broken && (g.state == http.StateNew || g.state == http.StateIdle)
}

// leave makes the connection move as soon as it may.
func (g *guest) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved || g.preface == len(http2Preface) || g.state == http.StateHijacked {
		return
	}
	if !g.leaving {
		g.activeAt = time.Now()
	}
	g.leaving = true
	g.wake()
}

// wake ends a Read that waits for a request.
func (g *guest) wake() {
	if g.reading && g.mayLeave() {
		g.woken = g.setRaw(longAgo) == nil
	}
}

// busy reports whether a server that shuts down now would drop what is coming
// in: a request that it has begun to read, or has read a moment ago, or one
// that may follow another where the connection can't leave. Of the last it is
// told for settleTime from began.
func (g *guest) busy(began, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved || g.broken {
		return false
	}
	if !g.direct {
		return now.Sub(began) < settleTime && now.Sub(g.heardAt) < settleTime
	}
	switch g.state {
	case http.StateNew, http.StateIdle:
		return g.heard || g.woken
	case http.StateActive:
		return now.Sub(g.activeAt) < handleTime
	}
	return g.woken
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved {
		return nil
	}
	// A server that shuts down says so to its connections before it closes its
	// listener.
	replaced := g.leaving || g.entrance.replaced()
	if !g.direct || g.broken || g.preface == len(http2Preface) || !replaced {
		return g.end()
	}
	switch g.state {
	case http.StateActive:
		g.closing = true // note hears what becomes of it
		return nil
	case http.StateNew, http.StateIdle:
		// The server shuts down: net/http closes a connection that is between
		// requests, while it reads or is about to, or has read something.
		g.leaving = true
		g.wake()
		return nil
	}
	return g.end()
}

// end closes the connection; g.mu is held.
func (g *guest) end() error {
	g.leaving = false
	g.entrance.forget(g)
	return g.TCPConn.Close()
}

// move gives the connection back to the door; g.mu is held.
func (g *guest) move() {
	g.moved, g.leaving = true, false
	g.entrance.forget(g)
	go g.entrance.door.park(g.TCPConn, g.entrance.idle)
}

var _ net.Conn = (*guest)(nil)
