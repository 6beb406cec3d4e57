package caddymodule

import (
	"io"
	"net/http"
	"time"
)

// writing is what a guest does about deadlines for writing. Caddy moves one on
// before every answer, which hardly any write comes near to: that is one half of a
// percent of what a proxied request takes. So a deadline that is moved on is kept
// where it was, and a write that meets it goes on if it has more time. The
// guest's lock guards all fields.
type writing struct {
	// writeDue is the deadline that was asked for, and writeSet the one that the
	// connection has.
	writeDue, writeSet time.Time
	// copying counts calls of ReadFrom, which can't go on in the middle.
	copying int
}

// SetWriteDeadline implements net.Conn.
func (g *guest) SetWriteDeadline(t time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved {
		return nil
	}
	g.writeDue = t
	if g.writesAgain() && !g.writeSet.IsZero() && (t.IsZero() || t.After(g.writeSet)) {
		return nil // a write that meets the one that is set goes on
	}
	return g.setWriteDue()
}

// writesAgain says that whatever is written passes through Write.
func (g *guest) writesAgain() bool {
	return g.direct && g.copying == 0 && g.state != http.StateHijacked
}

// setWriteDue sets the deadline that was asked for; the guest's lock is held.
func (g *guest) setWriteDue() error {
	if g.writeSet.Equal(g.writeDue) {
		return nil
	}
	g.writeSet = g.writeDue
	return g.TCPConn.SetWriteDeadline(g.writeDue)
}

// Write implements net.Conn.
func (g *guest) Write(p []byte) (int, error) {
	n, err := g.TCPConn.Write(p)
	for isTimeout(err) && g.hasTime() {
		var more int
		more, err = g.TCPConn.Write(p[n:])
		n += more
	}
	return n, err
}

// hasTime reports whether a write that has met the deadline that was set may
// go on, and sets the one that was asked for.
func (g *guest) hasTime() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moved || g.writeSet.Equal(g.writeDue) || !g.writeDue.IsZero() && !time.Now().Before(g.writeDue) {
		return false
	}
	return g.setWriteDue() == nil
}

// ReadFrom implements io.ReaderFrom.
func (g *guest) ReadFrom(r io.Reader) (int64, error) {
	if err := g.beginCopy(); err != nil {
		return 0, err
	}
	defer g.endCopy()
	return g.TCPConn.ReadFrom(r)
}

func (g *guest) beginCopy() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.setWriteDue(); err != nil {
		return err
	}
	g.copying++
	return nil
}

func (g *guest) endCopy() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.copying--
}

var _ io.ReaderFrom = (*guest)(nil)
