package caddymodule

import (
	"io"
	"net/http"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/gate"
)

// boundedBody is the body of a request that is being decided on. A client that
// sends one byte a minute must not hold what was read so far for hours.
type boundedBody struct {
	io.ReadCloser
	w http.ResponseWriter
}

// bound puts a body in the place of r's that the gate can give a time; nil
// where there is none.
func bound(w http.ResponseWriter, r *http.Request) *boundedBody {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &boundedBody{r.Body, w}
	r.Body = b
	return b
}

// release gives r its own body back, unless the gate has put another in its place.
func (b *boundedBody) release(r *http.Request) {
	if b != nil && r.Body == io.ReadCloser(b) {
		r.Body = b.ReadCloser
	}
}

// Within implements gate.Bounded, by the connection's or stream's deadline.
// Nothing is set unless the time is over: an operator's own stays.
func (b *boundedBody) Within(d time.Duration) (inTime func() bool) {
	timer := time.AfterFunc(d, func() {
		// Every server of Caddy has deadlines; where one has none, operators'
		// limits hold.
		_ = http.NewResponseController(b.w).SetReadDeadline(time.Unix(1, 0))
	})
	return timer.Stop
}

var _ gate.Bounded = (*boundedBody)(nil)
