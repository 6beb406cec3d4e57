package config

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEverythingHasADefault(t *testing.T) {
	got := new(App).Settings("/data")
	want := Settings{
		Store:     Store{Kind: SQLite, Address: filepath.Join("/data", "keywarden", "keys.db")},
		KeyPrefix: "kw", MaxKeys: 100_000, TTL: time.Minute, UnknownTTL: 10 * time.Second,
		StaleIfError: 5 * time.Minute, Lookups: 500, UsageKeep: 90 * 24 * time.Hour,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsConfiguredReplacesTheDefault(t *testing.T) {
	var app App
	text := `{"store": {"kind": "sqlite", "address": "./k.db"}, "key_prefix": "acme", "admin_key": "s",
		"cache": {"max_keys": 5, "ttl": "2s", "unknown_ttl": 0, "stale_if_error": "0s", "lookups": "9/s", "warm": 5}, "node": "gw-1",
		"usage": {"keep": "30d"}}`
	if err := json.Unmarshal([]byte(text), &app); err != nil {
		t.Fatal(err)
	}
	if err := app.Validate(); err != nil {
		t.Fatal(err)
	}
	want := Settings{
		Store: Store{Kind: SQLite, Address: "./k.db"}, KeyPrefix: "acme", AdminKey: "s",
		MaxKeys: 5, TTL: 2 * time.Second, Lookups: 9, Warm: 5, Node: "gw-1", UsageKeep: 30 * 24 * time.Hour,
	}
	if diff := cmp.Diff(want, app.Settings("/data")); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

func TestNoMoreIsReadIntoTheCacheThanFits(t *testing.T) {
	for _, c := range []struct {
		text  string
		fault string // "" for none
	}{
		{`{"warm": 0}`, ""},
		{`{"warm": 100000}`, ""},
		{`{"max_keys": 1000000, "warm": 1000000}`, ""},
		{`{"warm": -1}`, "cache.warm -1: expected 0 to 100000"},
		{`{"warm": 100001}`, "cache.warm 100001: expected 0 to 100000"},
		{`{"max_keys": 10, "warm": 11}`, "cache.warm 11: expected 0 to 10"},
	} {
		var app App
		if err := json.Unmarshal([]byte(`{"cache": `+c.text+`}`), &app); err != nil {
			t.Fatal(err)
		}
		if err := app.Validate(); (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", c.text, err, c.fault)
		}
	}
}

func TestAStoreWithoutAPathIsInTheDataDirectory(t *testing.T) {
	app := App{Store: &Store{Kind: SQLite}}
	if got := app.Settings("/d").Store.Address; got != filepath.Join("/d", "keywarden", "keys.db") {
		t.Fatalf("it is at %s", got)
	}
}

func TestEveryFaultOfTheAppIsToldAtOnce(t *testing.T) {
	zero, negative, rate := 0, Duration(-1), Rate(-1)
	app := App{
		Store: &Store{Kind: "oracle"}, KeyPrefix: "Bad_",
		Cache: &Cache{MaxKeys: &zero, TTL: &negative, UnknownTTL: &negative, StaleIfError: &negative, Lookups: &rate},
	}
	err := app.Validate()
	if err == nil {
		t.Fatal("nothing was refused")
	}
	for _, want := range []string{
		`store "oracle": expected sqlite or postgres`, `key_prefix: "Bad_": expected`, "cache.max_keys 0: expected",
		"cache.ttl: duration -1ns is negative", "cache.unknown_ttl", "cache.stale_if_error", "cache.lookups -1: expected",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestKeyPrefixesFollowTheContract(t *testing.T) {
	for prefix, valid := range map[string]bool{
		"kw": true, "a": true, "acme_live": true, "a2": true, strings.Repeat("a", 20): true,
		"A": false, "1a": false, "_a": false, "a_": false, "a-b": false, "ä": false, "a b": false, strings.Repeat("a", 21): false,
	} {
		app := App{KeyPrefix: prefix}
		if err := app.Validate(); (err == nil) != valid {
			t.Errorf("key_prefix %q: %v, want valid %t", prefix, err, valid)
		}
	}
}

func TestAStoreHasWhatItsKindNeeds(t *testing.T) {
	for _, c := range []struct {
		store Store
		want  string
	}{
		{Store{Kind: SQLite}, ""},
		{Store{Kind: SQLite, Address: "a"}, ""},
		{Store{Kind: SQLite, Listen: "a"}, "expected it with postgres only"},
		{Store{Kind: Postgres, Address: "{env.DATABASE_URL}"}, ""},
		{Store{Kind: Postgres, Address: "a", Listen: "b"}, ""},
		{Store{Kind: Postgres}, "found no address"},
		{Store{Kind: "Postgres", Address: "a"}, "expected sqlite or postgres"},
		{Store{}, "expected sqlite or postgres"},
	} {
		err := c.store.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.store, err, c.want)
		}
	}
}

func TestAPostgresAddressStaysAsItIs(t *testing.T) {
	app := App{Store: &Store{Kind: Postgres, Address: "postgres://h/d", Listen: "postgres://l/d"}}
	if got := app.Settings("/d").Store; got != *app.Store {
		t.Fatalf("it is %+v", got)
	}
}

func TestUsageIsKeptAsConfigured(t *testing.T) {
	day, hour, ages, none := Duration(24*time.Hour), Duration(time.Hour), Duration(10_000*24*time.Hour), Duration(0)
	for name, c := range map[string]struct {
		usage *Usage
		keep  time.Duration
		fault string
	}{
		"left out":        {nil, DefaultUsageKeep, ""},
		"empty":           {&Usage{}, DefaultUsageKeep, ""},
		"off":             {&Usage{Off: true}, 0, ""},
		"a day":           {&Usage{Keep: &day}, 24 * time.Hour, ""},
		"an hour":         {&Usage{Keep: &hour}, 0, "usage.keep 1h0m0s: expected 1d to 3660d"},
		"no time":         {&Usage{Keep: &none}, 0, "usage.keep 0s: expected 1d"},
		"ages":            {&Usage{Keep: &ages}, 0, "usage.keep 240000h0m0s: expected 1d"},
		"off, and a time": {&Usage{Off: true, Keep: &day}, 0, "found both off and keep"},
	} {
		app := App{Usage: c.usage}
		err := app.Validate()
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", name, err, c.fault)
		}
		if got := app.Settings("").UsageKeep; err == nil && got != c.keep {
			t.Errorf("%s: kept for %s, want %s", name, got, c.keep)
		}
	}
}
