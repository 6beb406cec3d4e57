package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// door is the one socket that this process has for an address, as long as any
// configuration listens there. A connection belongs to it, and to no
// configuration, until a server takes it.
type door struct {
	network string // tcp, tcp4 or tcp6
	socket  *net.TCPListener
	steered bool
	helper  *net.TCPListener // see steerByHelper; nil for none

	// entrances are the servers that listen, the youngest last. turn is closed,
	// and made anew, when another one is to take what comes.
	entrances []*entrance
	turn      chan struct{}
	// parked are connections that wait for the client's next request.
	parked map[*net.TCPConn]struct{}
}

// arrival is what accepting brought.
type arrival struct {
	conn *net.TCPConn
	err  error
}

// doors holds the open doors by address. Its lock guards what changes in them.
var doors = struct {
	sync.Mutex
	open map[string]*door
}{open: map[string]*door{}}

// enter lets e accept at its address, which Caddy has a name for. socket is
// the one that Caddy opened for this configuration; it is closed in any case
// but that of an error: the door has another, or the same under another number.
func (e *entrance) enter(name string, socket *net.TCPListener) error {
	// With port 0 the kernel chooses another port each time.
	address := name + " " + socket.Addr().String()
	doors.Lock()
	defer doors.Unlock()
	d := doors.open[address]
	if d == nil {
		var err error
		if d, err = openDoor(networkOf(name), socket); err != nil {
			return err
		}
		doors.open[address] = d
		go d.accept()
	}
	// Nothing is in its queue: the door is steered so that the kernel gives
	// new sockets of this address nothing.
	if err := socket.Close(); err != nil {
		return fmt.Errorf("closing what is not needed: %w", err)
	}
	d.steer() // if it was not possible before
	e.door = d
	d.entrances = append(d.entrances, e)
	d.next()
	return nil
}

// takeOver makes e the one that takes what comes, and has the older ones see
// their connections out before it returns.
func (e *entrance) takeOver() {
	doors.Lock()
	e.started = true
	e.door.next()
	doors.Unlock()
	e.relieve()
}

// openDoor makes a door of socket.
func openDoor(network string, socket *net.TCPListener) (*door, error) {
	file, err := socket.File() // a duplicate
	if err != nil {
		return nil, fmt.Errorf("duplicating a socket: %w", err)
	}
	defer file.Close() // net makes a duplicate of its own
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("listening on a duplicate: %w", err)
	}
	own, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a duplicate is a %T", l), l.Close())
	}
	return &door{network: network, socket: own, turn: make(chan struct{}), parked: map[*net.TCPConn]struct{}{}}, nil
}

// leave ends what enter began. The last one closes the door. Should the
// youngest leave first, the one before it goes on.
func (e *entrance) leave() {
	doors.Lock()
	defer doors.Unlock()
	d := e.door
	d.entrances = slices.DeleteFunc(d.entrances, func(other *entrance) bool { return other == e })
	d.next()
	if taker := d.taker(); taker != nil {
		taker.resume()
		return
	}
	for address, other := range doors.open {
		if other == d {
			delete(doors.open, address)
		}
	}
	_ = d.socket.Close() // it can only say that it is closed
	if d.helper != nil {
		_ = d.helper.Close()
	}
	for c := range d.parked {
		_ = c.Close()
	}
}

// next tells those who wait that it may be another entrance's turn; the lock of
// doors is held.
func (d *door) next() {
	close(d.turn)
	d.turn = make(chan struct{})
}

// taker is the entrance that takes what comes: the youngest whose configuration
// has started, or the first that there is, should none have told. It is nil if
// the door is closed. The lock of doors is held.
func (d *door) taker() *entrance {
	for _, e := range slices.Backward(d.entrances) {
		if e.started {
			return e
		}
	}
	if len(d.entrances) > 0 {
		return d.entrances[0]
	}
	return nil
}

// turns returns the entrance that takes what comes, nil if the door is closed,
// and a channel that is closed when that may be over.
func (d *door) turns() (*entrance, <-chan struct{}) {
	doors.Lock()
	defer doors.Unlock()
	return d.taker(), d.turn
}

// accept takes connections in until the door closes. Errors go to the servers,
// which know when to try again: until one has come back for more, accept waits.
func (d *door) accept() {
	for {
		conn, err := d.socket.AcceptTCP()
		if !d.offer(arrival{conn, err}) {
			return
		}
	}
}

// offer gives a to the server whose turn it is. It returns false if there is none.
func (d *door) offer(a arrival) bool {
	for {
		e, over := d.turns()
		if e == nil {
			if a.conn != nil {
				_ = a.conn.Close()
			}
			return false
		}
		select {
		case e.arrivals <- a:
			return true
		case <-over:
		}
	}
}

// park keeps a connection between two requests until the next one comes, and
// then gives it to the server that listens. After idle it closes it.
func (d *door) park(c *net.TCPConn, idle time.Duration) {
	if !d.keep(c) {
		_ = c.Close()
		return
	}
	err := errors.Join(c.SetDeadline(time.Time{}), c.SetReadDeadline(time.Now().Add(idle)))
	if err == nil {
		err = awaitBytes(c)
	}
	d.release(c)
	if err != nil || c.SetReadDeadline(time.Time{}) != nil {
		_ = c.Close() // the client is gone, or was silent for too long
		return
	}
	d.offer(arrival{conn: c})
}

// keep remembers a parked connection; false if the door is closed.
func (d *door) keep(c *net.TCPConn) bool {
	doors.Lock()
	defer doors.Unlock()
	if len(d.entrances) == 0 {
		return false
	}
	d.parked[c] = struct{}{}
	return true
}

func (d *door) release(c *net.TCPConn) {
	doors.Lock()
	defer doors.Unlock()
	delete(d.parked, c)
}

// steer makes the kernel give connections to this door's socket alone, and
// none to the ones that Caddy opens beside it for a moment at each reload.
// Where that is not possible, those that arrive within that moment are reset.
// The lock of doors is held.
func (d *door) steer() {
	if d.steered || !onlyOne(d.socket.Addr()) {
		return
	}
	d.steered = steer(d.socket) == nil || d.steerByHelper() == nil
}

// helperTime is how long a helper goes on accepting: a handshake that the
// kernel began with it takes a round trip, or a few if packets are lost.
const helperTime = 3 * time.Second

// steerByHelper steers by a second socket at the same address, for the time
// that this takes. Go listens for Multipath TCP, where the kernel has it, and
// such a socket can't be told where connections should go; but it shares its
// address, and what steers it, with an ordinary one.
func (d *door) steerByHelper() error {
	config := net.ListenConfig{Control: reusePort}
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), d.network, d.socket.Addr().String())
	if err != nil {
		return fmt.Errorf("opening a second socket: %w", err)
	}
	helper, ok := l.(*net.TCPListener)
	if !ok {
		return errors.Join(fmt.Errorf("a second socket is a %T", l), l.Close())
	}
	d.helper = helper // to close it with the door, if that comes first
	err = steer(helper)
	go d.drain(helper)
	return err
}

// drain takes in what came to a helper before it was steered, and closes it.
func (d *door) drain(helper *net.TCPListener) {
	defer helper.Close()
	if helper.SetDeadline(time.Now().Add(helperTime)) != nil {
		return
	}
	for {
		conn, err := helper.AcceptTCP()
		if err != nil || !d.offer(arrival{conn: conn}) {
			return
		}
	}
}
