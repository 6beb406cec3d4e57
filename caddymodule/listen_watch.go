package caddymodule

import (
	"context"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// watch is what a guest does about clients that go while they are being
// answered. net/http looks for that all along, by reading a byte in a goroutine:
// during most requests it finds nothing, for which it asks the kernel in vain,
// moves the deadline for reading four times, and has the goroutine woken up to
// end it. Together that is 3 % of what a proxied request takes. So a guest tells
// that read at once that nothing has come, and looks itself during requests that
// last: it waits for something to come in, without taking it out, and if that is
// the end it ends the requests' context, as net/http would.
//
// A client that goes is noticed later by that, by twice patience at most. All
// fields are guarded by the guest's lock.
type watch struct {
	// due is the deadline for reading that was asked for, and set the one that
	// the connection has.
	due, set time.Time
	// gone ends the context of the connection's requests; nil: net/http looks.
	gone context.CancelFunc
	// looks says that net/http wants to hear of a client that goes, until the
	// request is over. asked counts such requests, and timedFor is the one that
	// the timer is for: it runs on when that one is over, since setting it for
	// each of them would cost as much as is saved.
	looks           bool
	asked, timedFor uint
	timer           *time.Timer
	// peeking says that a goroutine waits for something to come in; over is
	// signalled when it has ended. With looks unset it is about to.
	peeking bool
	over    sync.Cond
}

// patience is how long a request lasts, at least, before its client is looked for.
const patience = 50 * time.Millisecond

// longAgo is the deadline by which net/http ends its read.
var longAgo = time.Unix(1, 0)

// watchClient makes c, if it is a guest, end what is done for a client that goes.
func watchClient(ctx context.Context, c net.Conn) context.Context {
	g, ok := c.(*guest)
	if !ok {
		return ctx
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, g.gone = context.WithCancel(ctx)
	g.over.L = &g.mu
	return ctx
}

// looksForClient reports whether a read is net/http's in the background, which
// is of one byte. Nothing else reads so little from a connection during a
// request, but HTTP/2, rarely, which must not be told that nothing came.
func (g *guest) looksForClient(p []byte) bool {
	return len(p) == 1 && g.gone != nil && g.state == http.StateActive && g.preface < len(http2Preface)
}

// lookLater has the client looked for when patience is over, and at once where
// there is a deadline for that. An error says that net/http has given up already.
func (g *guest) lookLater() error {
	if g.due.Equal(longAgo) {
		return os.ErrDeadlineExceeded
	}
	g.looks = true
	g.asked++
	if g.due.IsZero() {
		g.startTimer()
	} else {
		g.look()
	}
	return nil
}

func (g *guest) startTimer() {
	switch {
	case g.timedFor != 0: // it runs
		return
	case g.timer == nil:
		g.timer = time.AfterFunc(patience, g.patienceOver)
	default:
		g.timer.Reset(patience)
	}
	g.timedFor = g.asked
}

// patienceOver looks for the client of the request that the timer was started
// for, or starts it again for a later one.
func (g *guest) patienceOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := g.timedFor == g.asked
	g.timedFor = 0
	switch {
	case !g.looks:
	case last:
		g.look()
	default:
		g.startTimer()
	}
}

// look waits for something to come in, until the deadline for reading.
func (g *guest) look() {
	if g.peeking || g.setDue() != nil { // or it is closed
		return
	}
	g.peeking = true
	go func() {
		err := awaitBytes(g.TCPConn)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.peeking = false
		g.over.Broadcast()
		if err != nil && g.looks {
			g.looks = false
			g.gone()
		}
	}()
}

// stopLooking returns when nothing waits for the client any more.
func (g *guest) stopLooking() {
	g.looks = false
	if !g.peeking {
		return
	}
	_ = g.setRaw(longAgo) // where that fails, it is closed, which ends the wait as well
	for g.peeking {
		g.over.Wait()
	}
}

// SetReadDeadline implements net.Conn.
func (g *guest) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved {
		return nil
	}
	g.due = t
	if g.looks {
		if t.Equal(longAgo) { // net/http says that the request is over
			g.stopLooking()
		} else if !t.IsZero() {
			g.look()
		}
	}
	switch {
	case g.peeking && !g.looks: // who waits for its end sets it then
		return nil
	case g.direct && !g.reading && !g.peeking && g.state != http.StateHijacked:
		return nil // the next read sets it
	}
	return g.setDue()
}

// SetDeadline implements net.Conn.
func (g *guest) SetDeadline(t time.Time) error {
	if err := g.SetReadDeadline(t); err != nil {
		return err
	}
	return g.SetWriteDeadline(t)
}

// setDue sets the deadline that was asked for; the guest's lock is held.
func (g *guest) setDue() error {
	if g.set.Equal(g.due) {
		return nil
	}
	return g.setRaw(g.due)
}

// setRaw sets the deadline for reading, whatever was asked for; the guest's
// lock is held.
func (g *guest) setRaw(t time.Time) error {
	g.set = t
	return g.TCPConn.SetReadDeadline(t)
}
