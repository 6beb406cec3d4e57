package cli

import (
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
)

func addExpiresFlag(cmd *cobra.Command) {
	cmd.Flags().String("expires", "", "When the key stops working: a `duration` (12h, 30d), a date (2030-01-31, midnight UTC), RFC 3339, or never")
}

// expires returns what --expires says, and whether it was given. A zero time
// is never.
func (i *invocation) expires() (time.Time, bool, error) {
	if !i.cmd.Flags().Changed("expires") {
		return time.Time{}, false, nil
	}
	text, err := i.cmd.Flags().GetString("expires")
	if err != nil {
		return time.Time{}, false, usagef("%v", err)
	}
	at, err := parseExpires(text, i.Now())
	return at, err == nil, err
}

// parseExpires reads a duration from now on (caddy.ParseDuration's, with days),
// a date, RFC 3339, or never, which is the zero time.
func parseExpires(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "never" {
		return time.Time{}, nil
	}
	at, err := parseMoment(text, now)
	if err != nil {
		return time.Time{}, err
	}
	if !at.After(now) {
		return time.Time{}, usagef("--expires %s: %s is not in the future", text, at.UTC().Format(time.RFC3339))
	}
	if year := at.UTC().Year(); year > 9999 { // RFC 3339 ends there
		return time.Time{}, usagef("--expires %s: expected a year up to 9999; for a key that never expires, say never", text)
	}
	return at.UTC().Truncate(time.Millisecond), nil
}

func parseMoment(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, nil
	}
	if at, err := time.Parse(time.RFC3339, strings.ToUpper(text)); err == nil { // its T and Z may be small
		return at, nil
	}
	if d, err := caddy.ParseDuration(text); err == nil {
		return now.Add(d), nil
	}
	return time.Time{}, usagef("--expires %s: expected a duration (12h, 30d), a date (2030-01-31), RFC 3339 (2030-01-31T12:00:00Z) or never", text)
}
