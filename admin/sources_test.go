package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const fromNetworks = `{"permissions": {"mode": "all"}, "admin": "write", "allowed_cidrs": ["203.0.113.0/24", "::ffff:10.0.0.0/104", "2001:DB8::/32", "192.0.2.1"]}`

func TestNetworksAreNormalisedShownAndReplacedWhole(t *testing.T) {
	s := newSite(t)
	made := s.create(fromNetworks)
	want := []any{"203.0.113.0/24", "10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"}
	path := "/v1/keys/" + made.get("id")
	if diff := cmp.Diff(want, made.tree["allowed_cidrs"]); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, s.do("GET", path, "").want(200).tree["allowed_cidrs"]); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	s.do("PATCH", path, `{"name": "x"}`).want(200)
	if diff := cmp.Diff(want, s.do("GET", path, "").tree["allowed_cidrs"]); diff != "" {
		t.Errorf("a change of something else changed the networks (-want +got):\n%s", diff)
	}
	changed := s.do("PATCH", path, `{"allowed_cidrs": ["::/0"]}`).want(200)
	if diff := cmp.Diff([]any{"::/0"}, changed.tree["allowed_cidrs"]); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if again := s.do("PATCH", path, `{"allowed_cidrs": ["::/0"]}`).want(200); again.header.Get("ETag") != changed.header.Get("ETag") {
		t.Error("the same networks again are a change")
	}
	lifted := s.do("PATCH", path, `{"allowed_cidrs": []}`).want(200)
	if diff := cmp.Diff([]any{}, lifted.tree["allowed_cidrs"]); diff != "" {
		t.Errorf("lifted (-want +got):\n%s", diff)
	}
	entry := s.do("GET", "/v1/audit?limit=1", "").want(200).tree["data"].([]any)[0].(map[string]any)
	if diff := cmp.Diff([]any{"::/0"}, entry["before"].(map[string]any)["allowed_cidrs"]); diff != "" {
		t.Errorf("the audit's before (-want +got):\n%s", diff)
	}
}

func TestFaultyNetworksAreToldByTheirPlace(t *testing.T) {
	s := newSite(t)
	many := strings.TrimSuffix(strings.Repeat(`"10.0.0.0/8",`, 65), ",")
	for given, want := range map[string]string{
		`["10.0.0.0/8", "10.0.0.5/8"]`: "allowed_cidrs[1]: has address bits behind its length; expected 10.0.0.0/8 for the network, or 10.0.0.5 for the one address",
		`["nonsense"]`:                 `allowed_cidrs[0]: expected a network in CIDR notation, such as "203.0.113.0/24" or "2001:db8::/32", or an address`,
		`[7]`:                          "allowed_cidrs[0]: expected a string, found a number",
		`[` + many + `]`:               "allowed_cidrs: expected at most 64, found 65",
		`"10.0.0.0/8"`:                 "allowed_cidrs: expected an array, found a string",
		`null`:                         "allowed_cidrs: expected an array, found null",
	} {
		for _, call := range [][3]string{
			{"POST", "/v1/keys", `{"permissions": {"mode": "all"}, "allowed_cidrs": ` + given + `}`},
			{"PATCH", "/v1/keys/" + string(s.adminID), `{"allowed_cidrs": ` + given + `}`},
		} {
			got := s.do(call[0], call[1], call[2]).want(422).tree["errors"].([]any)[0].(map[string]any)
			if said := fmt.Sprintf("%s: %s", got["field"], got["message"]); said != want {
				t.Errorf("%s %s:\n%s, want\n%s", call[0], given, said, want)
			}
		}
	}
	if found := s.do("POST", "/v1/keys/import", `{"keys": [{"permissions": {"mode": "all"}, "secret": "abcdefgh", "allowed_cidrs": ["10.0.0.5/8"]}]}`).want(422); !strings.Contains(found.text, "keys[0].allowed_cidrs[0]") {
		t.Errorf("an import says %s", found.text)
	}
}

// Admin keys are limited as well, sessions and all.
func TestAdminKeyIsRefusedFromElsewhere(t *testing.T) {
	s := newSite(t)
	secret := s.create(fromNetworks).get("secret")
	for from, status := range map[string]int{
		"203.0.113.9": 200, "10.9.9.9": 200, "::ffff:10.1.1.1": 200, "2001:db8::9": 200, "192.0.2.1": 200,
		"203.0.114.1": 403, "192.0.2.2": 403, "2001:db9::": 403, "@": 403,
	} {
		answer := s.do("GET", "/v1/whoami", "", "Authorization: Bearer "+secret, "Test-From: "+from).want(status)
		if status == 403 && (answer.get("code") != "source_not_allowed" || !strings.Contains(answer.get("detail"), "may not be used from")) {
			t.Errorf("from %q: %s", from, answer.text)
		}
	}
}

func TestCheckJudgesAnAddressWhereOneIsGiven(t *testing.T) {
	s := newSite(t)
	made := s.create(fromNetworks)
	for _, who := range []string{`"secret": "` + made.get("secret") + `"`, `"id": "` + made.get("id") + `"`} {
		for ip, want := range map[string]string{
			`, "ip": "203.0.113.9"`: "allowed", `, "ip": "::ffff:10.0.0.1"`: "allowed", ``: "allowed",
			`, "ip": "198.51.100.1"`: "source_not_allowed", `, "ip": "2001:db9::"`: "source_not_allowed",
		} {
			answer := s.do("POST", "/v1/keys/check", `{`+who+`, "method": "GET", "path": "/rest/users"`+ip+`}`).want(200)
			if answer.get("code") != want {
				t.Errorf("%s: %s, want %s", ip, answer.text, want)
			}
			if ip == "" && !strings.Contains(answer.get("detail"), "networks that the key is limited to") {
				t.Errorf("without an address: %s", answer.text)
			}
		}
		if answer := s.do("POST", "/v1/keys/check", `{`+who+`, "method": "GET", "path": "/healthz", "ip": "198.51.100.1"}`).want(200); answer.get("code") != "allowed" {
			t.Errorf("a public path: %s", answer.text)
		}
	}
	s.do("POST", "/v1/keys/check", `{"id": "`+made.get("id")+`", "method": "GET", "path": "/", "ip": "nonsense"}`).want(422)
}
