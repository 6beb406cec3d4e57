package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// standardSchedule is how long after an attempt has failed the next one comes: what
// Standard Webhooks suggests, three days in all.
var standardSchedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

const (
	// jitter is the part of a wait by which it may be longer, so that what
	// failed together does not come back together.
	jitter = 0.2
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = 24 * time.Hour
)

// next returns how long after the attempt with this number, from 1 on, the next
// one comes; false if it was the last. A receiver that asks to be left alone
// for longer is, within a bound.
func next(schedule []time.Duration, attempt int, retryAfter time.Duration) (time.Duration, bool) {
	if attempt > len(schedule) {
		return 0, false
	}
	wait := schedule[max(1, attempt)-1]
	wait += time.Duration(rand.Float64() * jitter * float64(wait)) //nolint:gosec // G404: nobody gains by guessing it
	return max(wait, min(retryAfter, maxRetryAfter)), true
}

// retryAfter reads the header (RFC 9110, 10.2.3): seconds, or a time.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
