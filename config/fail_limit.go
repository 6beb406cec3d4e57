package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FailLimit is how many failures a source may have in a time: "20/m".
type FailLimit struct {
	Failures int
	In       time.Duration
}

var failUnits = []struct {
	name string
	in   time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}}

// maxFailures is more than anybody means to allow.
const maxFailures = 100_000

// ParseFailLimit reads a number a second, a minute or an hour.
func ParseFailLimit(text string) (FailLimit, error) {
	number, unit, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(number)
	for _, u := range failUnits {
		if err == nil && n >= 1 && n <= maxFailures && unit == u.name {
			return FailLimit{Failures: n, In: u.in}, nil
		}
	}
	return FailLimit{}, fmt.Errorf("limit %q: expected a number from 1 to %d and a time, s, m or h, such as 20/m", text, maxFailures)
}

// MarshalText writes "20/m".
func (l FailLimit) MarshalText() ([]byte, error) {
	for _, u := range failUnits {
		if u.in == l.In {
			return fmt.Appendf(nil, "%d/%s", l.Failures, u.name), nil
		}
	}
	return nil, fmt.Errorf("a limit in %s has no word", l.In)
}

// UnmarshalText is ParseFailLimit.
func (l *FailLimit) UnmarshalText(text []byte) error {
	parsed, err := ParseFailLimit(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}
