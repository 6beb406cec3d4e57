package cli

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestExpiresTakesDurationsDatesTimesAndNever(t *testing.T) {
	for text, want := range map[string]string{
		"30d":                       "2026-03-31T12:00:00Z",
		"1d12h":                     "2026-03-03T00:00:00Z",
		"90m":                       "2026-03-01T13:30:00Z",
		"1.5d":                      "2026-03-03T00:00:00Z",
		"1ms":                       "2026-03-01T12:00:00.001Z",
		"2026-03-02":                "2026-03-02T00:00:00Z",
		"2028-02-29":                "2028-02-29T00:00:00Z",
		"2026-03-01T12:00:01Z":      "2026-03-01T12:00:01Z",
		"2026-03-01t12:00:01z":      "2026-03-01T12:00:01Z",
		"2026-03-01T23:00:00+02:00": "2026-03-01T21:00:00Z",
		" 2026-03-02 ":              "2026-03-02T00:00:00Z",
	} {
		got, err := parseExpires(text, noon)
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("parseExpires(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
	if got, err := parseExpires("never", noon); err != nil || !got.IsZero() {
		t.Errorf("never: got %v, %v; want the zero time", got, err)
	}
}

func TestExpiresRefusesThePastAndWhatIsNoTime(t *testing.T) {
	for _, text := range []string{
		"", "0s", "0", "-1h", "-1d", "2026-03-01", "2026-02-28", "2026-03-01T12:00:00Z", "2026-03-01T13:59:59+02:00",
		"1970-01-01", "NEVER", "tomorrow", "30", "30days", "d", "2026-02-30", "2026-3-2", "01/02/2027", "2027-01-01 12:00",
		"99999999999d", "1e400d", "NaNd", "10000-01-01", "9999999h9999999h9999999999h", "٣٠d",
	} {
		got, err := parseExpires(text, noon)
		var usage *usageError
		if !errors.As(err, &usage) {
			t.Errorf("parseExpires(%q) = %v, %v; want a usage error", text, got, err)
		}
	}
}

func TestExpiresIsNeverInThePastWhateverIsTyped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9.]{1,12}(d|h|m|s|ms|ns)([0-9]{1,4}[dhms])?`)).Draw(t, "text")
		got, err := parseExpires(text, noon)
		if err == nil && !got.IsZero() && got.Before(noon) {
			t.Fatalf("parseExpires(%q) = %v, before %v", text, got, noon)
		}
	})
}
