package caddymodule

import (
	"io"
	"net/http"
	"time"
)

// How long, and how much, is read on after a refusal: what net/http waits
// itself before it closes a connection, and more than usual buffers hold.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 16 << 20
)

// linger reads on for a moment from a client that is still sending a body that
// was refused. Closing a connection with bytes unread resets it, and a reset
// takes the answer away from a client that has not read it yet (RFC 9112,
// section 9.6): half of Go's clients with 1 MiB to send saw "connection reset"
// instead of the 413. net/http lingers by itself, but not where Caddy has
// wrapped the body for its access log.
func linger(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Expect") != "" {
		return // it sends nothing before it is told to
	}
	c := http.NewResponseController(w)
	if c.Flush() != nil || c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, lingerBytes) // a client that is gone lost nothing
}
