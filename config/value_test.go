package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurationsAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "10s": 10 * time.Second, "1m": time.Minute, "1h30m": 90 * time.Minute,
		"2d": 48 * time.Hour, "1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour, "250ms": 250 * time.Millisecond,
	} {
		got, err := ParseDuration(text)
		if err != nil || time.Duration(got) != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestFaultyDurationsAreRefusedWithAnExample(t *testing.T) {
	for _, text := range []string{"", " ", "1", "d", "x", "1x", "1 m", "1dd", "NaNd", "Infd", "99999999d", "-1s-1d", "1m\n"} {
		if _, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("ParseDuration(%q): %v; want a fault that says what is expected", text, err)
		}
	}
}

func TestNegativeDurationsAreRefused(t *testing.T) {
	for _, text := range []string{"-1s", "-1d", "-0.5h", "-1d1h"} {
		_, err := ParseDuration(text)
		if err == nil || !strings.Contains(err.Error(), "negative") {
			t.Errorf("ParseDuration(%q): %v; want it called negative", text, err)
		}
	}
	var d Duration
	for _, text := range []string{`-1`, `"-1s"`} {
		if err := json.Unmarshal([]byte(text), &d); err == nil || !strings.Contains(err.Error(), "negative") {
			t.Errorf("JSON %s: %v; want it called negative", text, err)
		}
	}
}

func TestDurationsInJSONAreTextOrNanoseconds(t *testing.T) {
	for text, want := range map[string]time.Duration{`"1m"`: time.Minute, `60000000000`: time.Minute, `0`: 0, `"1d"`: 24 * time.Hour} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err != nil || time.Duration(d) != want {
			t.Errorf("%s is %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{`true`, `{}`, `[]`, `1.5`, `"soon"`} {
		var d Duration
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s was taken for %v", text, d)
		}
	}
}

func TestDurationsComeBackAsTheyWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Duration(rapid.Int64Range(0, int64(36500*24*time.Hour)).Draw(t, "duration"))
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Duration
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Fatalf("%s came back as %v, %v", text, got, err)
		}
	})
}

func TestRatesAreANumberASecond(t *testing.T) {
	for text, want := range map[string]Rate{"1/s": 1, "500/s": 500, "10000000/s": 10_000_000} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("ParseRate(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "500", "/s", "0/s", "-1/s", "1.5/s", "500/m", "500 /s", "99999999999999999999/s", "10000001/s"} {
		if _, err := ParseRate(text); err == nil || !strings.Contains(err.Error(), "500/s") {
			t.Errorf("ParseRate(%q): %v; want a fault with an example", text, err)
		}
	}
}

func TestRatesAndPatternsAreTextInJSON(t *testing.T) {
	type value struct {
		Rate    Rate
		Pattern Pattern
	}
	text, err := json.Marshal(value{Rate: 7, Pattern: Pattern{Text: "/a/*", Where: "Caddyfile:1"}})
	if err != nil || string(text) != `{"Rate":"7/s","Pattern":"/a/*"}` {
		t.Fatalf("written as %s, %v", text, err)
	}
	var back value
	if err := json.Unmarshal(text, &back); err != nil || back != (value{Rate: 7, Pattern: Pattern{Text: "/a/*"}}) {
		t.Fatalf("read back as %+v, %v", back, err)
	}
}
