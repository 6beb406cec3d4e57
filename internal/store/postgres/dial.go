package postgres

import (
	"context"
	"net"
	"sync"
	"time"
)

// silence is how long a server may say nothing to a question that has no
// deadline of its own. A server that hangs, or a network that swallows
// everything, says nothing for ever.
const silence = adminTime + 10*time.Second

var dialer = net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// conn ends a read after silence, unless a deadline was set: then that holds.
type conn struct {
	net.Conn
	mu       sync.Mutex
	deadline bool      // one was set
	limited  time.Time // when the end of a silence was set last
}

// limitedFor is how long the end of a silence may be the one that was set
// before: setting it for each read would slow look-ups.
const limitedFor = time.Second

func (c *conn) Read(b []byte) (int, error) {
	if err := c.limit(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *conn) limit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline {
		return nil
	}
	now := time.Now()
	if now.Sub(c.limited) < limitedFor {
		return nil
	}
	c.limited = now
	return c.Conn.SetReadDeadline(now.Add(silence))
}

func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.limited = !t.IsZero(), time.Time{}
	return c.Conn.SetDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.limited = !t.IsZero(), time.Time{}
	return c.Conn.SetReadDeadline(t)
}
