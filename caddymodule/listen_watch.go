package caddymodule

import (
	"net/http"
	"sync"
	"time"
)

// watch is what a guest does about clients that go while they are being
// answered. net/http looks for that all along, by reading a byte in the
// background: during most requests it finds nothing, for which it asks the
// kernel once in vain, and moves the deadline for reading four times. Together
// that is 2 % of what a proxied request takes. So a guest has such a read wait
// first, and keeps deadlines to itself until something is read.
//
// A client that goes is noticed later by that, by twice patience at most. All
// fields are guarded by the guest's lock.
type watch struct {
	// due is the deadline for reading that was asked for, and set the one that
	// the connection has.
	due, set time.Time
	// waiting says that a read waits. waits counts them, and timedFor is the
	// one that the timer is for: it runs on when a request is over, since
	// setting it for each of them would cost as much as is saved.
	waiting         bool
	waits, timedFor uint
	timer           *time.Timer
	over            sync.Cond
}

// patience is how long a read waits, at least.
const patience = 50 * time.Millisecond

// longAgo is the deadline by which net/http ends its read.
var longAgo = time.Unix(1, 0)

// looksForClient reports whether a read is net/http's in the background, which
// is of one byte. Nothing else reads so little from a connection during a
// request, but HTTP/2, rarely, which must not wait.
func (g *guest) looksForClient(p []byte) bool {
	return len(p) == 1 && g.state == http.StateActive && g.preface < len(http2Preface)
}

// waitForByte waits before a read, until patience is over or something else is to
// happen. It returns false if that is that the read be given up.
func (g *guest) waitForByte() bool {
	if g.due.IsZero() {
		g.waits++
		g.startTimer()
		g.over.L = &g.mu
		for g.waiting = true; g.waiting; {
			g.over.Wait()
		}
	}
	return !g.due.Equal(longAgo)
}

func (g *guest) startTimer() {
	switch {
	case g.timedFor != 0: // it runs
		return
	case g.timer == nil:
		g.timer = time.AfterFunc(patience, g.waitOver)
	default:
		g.timer.Reset(patience)
	}
	g.timedFor = g.waits
}

// waitOver ends the read that the timer was started for, or starts it again
// for a later one.
func (g *guest) waitOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	again := g.waiting && g.timedFor != g.waits
	if !again {
		g.endWait()
	}
	g.timedFor = 0
	if again {
		g.startTimer()
	}
}

func (g *guest) endWait() {
	if g.waiting {
		g.waiting = false
		g.over.Signal()
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
	g.endWait()
	if g.direct && !g.reading && g.state != http.StateHijacked {
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
