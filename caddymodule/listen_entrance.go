package caddymodule

import (
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// entrance is how the server of one configuration accepts from a door.
type entrance struct {
	net.Listener // Caddy's, which counts how many configurations use an address
	keeper       *socketKeeper
	door         *door
	keepAlive    *net.KeepAliveConfig
	idle         time.Duration // how long a connection may be without a request
	arrivals     chan arrival
	closed       chan struct{}
	closing      sync.Once
	// started says that all of its configuration has; the lock of doors guards it.
	started bool

	mu     sync.Mutex
	guests map[*guest]struct{}
	// relieved says that a younger one takes what comes.
	relieved bool
}

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
	select {
	case a := <-e.arrivals:
		return e.welcome(a)
	case <-e.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: e.Addr(), Err: net.ErrClosed}
	}
}

func (e *entrance) welcome(a arrival) (net.Conn, error) {
	if a.err != nil {
		return nil, a.err
	}
	if e.keepAlive != nil {
		// It fails where the other side has gone already; the server will see.
		_ = a.conn.SetKeepAliveConfig(*e.keepAlive)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	g := &guest{TCPConn: a.conn, entrance: e, leaving: e.relieved}
	e.guests[g] = struct{}{}
	return g, nil
}

func (e *entrance) forget(g *guest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.guests, g)
}

// Close ends this server's accepting, and the door with the last of them.
func (e *entrance) Close() error {
	e.closing.Do(func() {
		close(e.closed)
		e.leave()
		if e.replaced() { // it may have guests: what was accepted as it closed
			for _, g := range e.seeOut() {
				g.leave()
			}
		}
		// The socket in it is closed since enter: it is called to be counted.
		_ = e.Listener.Close()
	})
	return nil
}

// replaced says that this server has ended while another one listens.
func (e *entrance) replaced() bool {
	select {
	case <-e.closed:
		other, _ := e.door.turns()
		return other != nil
	default:
		return false
	}
}

// How long a reload waits for connections of the former configuration, at
// most.
const (
	// settleTime is for clients on TLS to hear that they should open others.
	settleTime = 500 * time.Millisecond
	// beginTime is for requests that have begun to come in, which the former
	// server would drop: it has them in no time, unless the machine is very
	// busy, or a client sends half a request.
	beginTime = 3 * time.Second
	// handleTime is for requests that have been read: net/http says that they
	// are active, looks once more whether the server shuts down, drops them
	// without an answer if so, and then calls the handler, which nothing tells
	// of. It takes no time, but what is in between may wait for a processor.
	handleTime = 100 * time.Millisecond
)

// relieve sends the guests of older entrances away, and returns when their
// servers can shut down without harm.
func (e *entrance) relieve() {
	older := e.older()
	if len(older) == 0 {
		return
	}
	for _, o := range older {
		for _, g := range o.seeOut() {
			g.leave()
		}
	}
	began, tick := time.Now(), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for now := began; now.Sub(began) < beginTime; now = <-tick.C {
		if !slices.ContainsFunc(older, func(o *entrance) bool { return o.busy(began, now) }) {
			return
		}
	}
}

// older returns the entrances that e relieves.
func (e *entrance) older() []*entrance {
	doors.Lock()
	defer doors.Unlock()
	i := slices.Index(e.door.entrances, e)
	return slices.Clone(e.door.entrances[:max(i, 0)])
}

// seeOut marks e as relieved and returns its guests.
func (e *entrance) seeOut() []*guest {
	e.keeper.relieved.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.relieved = true
	return slices.Collect(maps.Keys(e.guests))
}

// resume ends what seeOut began.
func (e *entrance) resume() {
	e.keeper.relieved.Store(false)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.relieved = false
}

// busy reports whether any guest is.
func (e *entrance) busy(began, now time.Time) bool {
	return slices.ContainsFunc(e.all(), func(g *guest) bool { return g.busy(began, now) })
}

func (e *entrance) all() []*guest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.guests))
}

var _ net.Listener = (*entrance)(nil)
