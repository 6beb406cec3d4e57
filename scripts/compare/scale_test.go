package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestKeysOfALargeCaseMayDoWhatIsAsked(t *testing.T) {
	s := scale{keys: 10_000, apis: 3, endpoints: 5, grants: 5}
	config := s.auth()
	seen := map[string]bool{}
	for i := range 40 {
		target := s.target(i)
		api, rest, _ := strings.Cut(strings.TrimPrefix(target, "/"), "/")
		endpoint, _, _ := strings.Cut(rest, "/")
		granted := s.permissions(i)["apis"].(map[string]any)[api].(map[string]any)["endpoints"].(map[string]string)
		if granted[endpoint] != "read" {
			t.Errorf("key %d asks for %s and may use %v", i, target, granted)
		}
		if declared := fmt.Sprintf("endpoint %s /%s/%[1]s /%[2]s/%[1]s/*\n", endpoint, api); !strings.Contains(config, declared) {
			t.Errorf("%s is not declared", target)
		}
		seen[target] = true
	}
	if len(seen) != s.apis*s.endpoints {
		t.Errorf("%d endpoints are asked for, want each of %d", len(seen), s.apis*s.endpoints)
	}
	if got := (&scale{}).target(3); got != usualTarget {
		t.Errorf("without APIs of its own it asks for %s", got)
	}
}

func TestLargeCasesAreLeftOutUnlessAskedFor(t *testing.T) {
	if n := len((&world{}).large()); n != 0 {
		t.Errorf("%d large cases, not asked for", n)
	}
	w := &world{options: options{scale: true}}
	ids := map[string]bool{}
	for _, s := range append(subjects(), w.large()...) {
		if ids[s.id()] || strings.ContainsAny(s.id(), " ,/") {
			t.Errorf("%q: its folder is not its own", s.name)
		}
		ids[s.id()] = true
	}
	if len(ids) == len(subjects()) {
		t.Error("asked for, there are none")
	}
}
