package config

import "testing"

func TestLeaksAreOffOrTakeAlerts(t *testing.T) {
	for _, c := range []struct {
		leaks *Leaks
		fine  bool
	}{
		{nil, true},
		{&Leaks{}, true},
		{&Leaks{Off: true}, true},
		{&Leaks{GitHubKeys: "keys.json"}, true},
		{&Leaks{Off: true, GitHubKeys: "keys.json"}, false},
	} {
		if err := (&Admin{Leaks: c.leaks}).Validate(); (err == nil) != c.fine {
			t.Errorf("%+v: %v", c.leaks, err)
		}
	}
}
