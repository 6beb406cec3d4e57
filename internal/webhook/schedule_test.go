package webhook

import (
	"net/http"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAttemptsComeAsTheStandardSuggests(t *testing.T) {
	total := time.Duration(0)
	for i, want := range standardSchedule {
		wait, more := next(standardSchedule, i+1, 0)
		if !more || wait < want || wait > want+want/5 {
			t.Errorf("after attempt %d: %s, %v; want %s to %s", i+1, wait, more, want, want+want/5)
		}
		total += want
	}
	if want := 75*time.Hour + 35*time.Minute + 5*time.Second; total != want {
		t.Errorf("in all %s, want %s", total, want)
	}
	if wait, more := next(standardSchedule, len(standardSchedule)+1, time.Minute); more {
		t.Errorf("after the last attempt another one comes in %s", wait)
	}
}

func TestAReceiverIsLeftAloneAsItAsksWithinABound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attempt := rapid.IntRange(1, len(standardSchedule)).Draw(t, "attempt")
		asked := time.Duration(rapid.Int64Range(-1<<62, 1<<62).Draw(t, "asked"))
		wait, more := next(standardSchedule, attempt, asked)
		least := max(standardSchedule[attempt-1], min(asked, 24*time.Hour))
		if !more || wait < least || wait > 24*time.Hour*6/5 {
			t.Fatalf("%s, %v; want at least %s", wait, more, least)
		}
	})
}

func TestRetryAfterIsReadAsSecondsOrATime(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, "-5": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:03:05 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
