package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dustin/go-humanize"
)

// readBody reads the body of r, at most limit bytes of it, and puts it back
// as it was.
func readBody(r *http.Request, limit int64) ([]byte, Outcome, string) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, Allowed, ""
	}
	if r.ContentLength > limit {
		return nil, BodyTooLarge, tooLarge(limit)
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		// The length is only what the client says; a lie costs at most limit.
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	inTime := within(r.Body, bodyTime(limit))
	_, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	var over *http.MaxBytesError
	switch {
	case !inTime():
		return nil, UnreadableBody, fmt.Sprintf("the body, which must be read to decide what it needs, has not come within %s", bodyTime(limit))
	case errors.As(err, &over):
		return nil, BodyTooLarge, tooLarge(over.Limit)
	case err != nil:
		return nil, UnreadableBody, "the body could not be read to its end"
	case int64(buf.Len()) > limit:
		return nil, BodyTooLarge, tooLarge(limit)
	}
	r.Body = &replayed{Reader: bytes.NewReader(buf.Bytes()), original: r.Body}
	return buf.Bytes(), Allowed, ""
}

// Bounded is a body whose reading can be given a time.
type Bounded interface {
	// Within makes reads fail after d. The function that it returns ends that,
	// and reports whether it was in time.
	Within(d time.Duration) (inTime func() bool)
}

func within(body io.Reader, d time.Duration) (inTime func() bool) {
	if b, ok := body.(Bounded); ok {
		return b.Within(d)
	}
	return func() bool { return true }
}

const (
	// A body that must be read has bodyGrace to come, and longer the larger it
	// may be, so that a client with a slow line can send the largest.
	bodyGrace     = 30 * time.Second
	bodyPerSecond = 64 << 10
)

// bodyTime is how long a body of up to limit bytes may take.
func bodyTime(limit int64) time.Duration {
	return bodyGrace + time.Duration(max(limit, 0)/bodyPerSecond)*time.Second
}

func tooLarge(limit int64) string {
	return fmt.Sprintf("the body must be read to decide what it needs, and is larger than %s", humanize.IBytes(uint64(max(limit, 0))))
}

// replayed is a body that was read and is read again.
type replayed struct {
	*bytes.Reader
	original io.Closer
}

// Close closes the body that was read.
func (b *replayed) Close() error { return b.original.Close() }
