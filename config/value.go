package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Pattern is a path pattern and where it was written.
type Pattern struct {
	Text string
	// Where is "file:line" of a Caddyfile, for messages; "" in JSON, which is
	// parsed without positions.
	Where string
}

// MarshalText writes the pattern alone: a JSON string.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.Text), nil }

// UnmarshalText reads a JSON string.
func (p *Pattern) UnmarshalText(text []byte) error {
	*p = Pattern{Text: string(text)}
	return nil
}

// Duration is a time.Duration that JSON carries as text ("1m30s", "2d") or,
// as elsewhere in Caddy, as a number of nanoseconds.
type Duration time.Duration

// errNegative is told apart so that the message can say what is wrong.
var errNegative = errors.New("is negative; expected a duration of 0 or more")

// ParseDuration reads a Go duration, in which d counts 24 hours. Negative
// ones are refused: nothing here lasts less than no time.
func ParseDuration(text string) (Duration, error) {
	fault := fmt.Errorf("duration %q: expected a number and a unit, such as 10s, 5m, 1h30m or 2d", text)
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	} else if rest == "" {
		rest = "0s"
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, fault
	}
	n, err := strconv.ParseFloat(days, 64)
	if err != nil || math.IsNaN(n) || math.Abs(n) > 36500 {
		return 0, fault
	}
	d += time.Duration(n * 24 * float64(time.Hour))
	if d < 0 {
		return 0, fmt.Errorf("duration %q %w", text, errNegative)
	}
	return Duration(d), nil
}

// String is time.Duration's.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads text or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var nanoseconds int64
	if err := json.Unmarshal(data, &nanoseconds); err == nil {
		if nanoseconds < 0 {
			return fmt.Errorf("duration %d %w", nanoseconds, errNegative)
		}
		*d = Duration(nanoseconds)
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("duration %s: expected text such as \"5m\", or nanoseconds", data)
	}
	parsed, err := ParseDuration(text)
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// Rate is how often something may happen: a number a second.
type Rate int

// maxRate is more than any store answers; a greater number is a mistake.
const maxRate = 10_000_000

// ParseRate reads "500/s".
func ParseRate(text string) (Rate, error) {
	number, found := strings.CutSuffix(text, "/s")
	n, err := strconv.Atoi(number)
	if !found || err != nil || n < 1 || n > maxRate {
		return 0, fmt.Errorf("rate %q: expected a number a second from 1/s to %d/s, such as 500/s", text, maxRate)
	}
	return Rate(n), nil
}

// MarshalText writes "500/s".
func (r Rate) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(int(r)) + "/s"), nil }

// UnmarshalText is ParseRate.
func (r *Rate) UnmarshalText(text []byte) error {
	parsed, err := ParseRate(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}
