package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestFailLimitsAreReadAndWritten(t *testing.T) {
	for text, want := range map[string]FailLimit{
		"20/m": {20, time.Minute}, "1/s": {1, time.Second}, "100000/h": {100_000, time.Hour},
	} {
		got, err := ParseFailLimit(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		written, err := json.Marshal(Auth{FailLimit: &got})
		if err != nil || !strings.Contains(string(written), `"fail_limit":"`+text+`"`) {
			t.Errorf("%s is written %s: %v", text, written, err)
		}
		var read Auth
		if err := json.Unmarshal(written, &read); err != nil || *read.FailLimit != want {
			t.Errorf("%s is read back as %v: %v", text, read.FailLimit, err)
		}
	}
}

func TestFaultyFailLimitsAreRefused(t *testing.T) {
	for _, text := range []string{"", "20", "/m", "0/m", "-1/m", "100001/m", "20/d", "20/min", "1.5/m", " 20/m", "20/m ", "20//m", "20/M"} {
		if got, err := ParseFailLimit(text); err == nil || !strings.Contains(err.Error(), "such as 20/m") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, err := (FailLimit{1, time.Millisecond}).MarshalText(); err == nil {
		t.Error("a limit without a word is written")
	}
}
