package admin_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// An operator may have made the configured key up, so that a list of likely
// ones would find it.
func TestTheConfiguredAdminKeyIsNotGuessedByTheAPI(t *testing.T) {
	const configured = "correct-horse-battery-staple"
	s := newSite(t, withConfigAdmin(t, configured))
	with := func(secret, from string) []string {
		return []string{"Authorization: Bearer " + secret, "Test-From: " + from}
	}
	const attacker, neighbour, elsewhere = "2001:db8::7", "2001:db8::8", "203.0.113.9"
	for i := range 5 {
		s.do("GET", "/v1/whoami", "", with(fmt.Sprintf("hunter%d", i), attacker)...).problem(401, "unknown_key")
	}
	refused := s.do("GET", "/v1/whoami", "", with("hunter5", attacker)...).problem(429, "too_many_failures")
	if wait, err := strconv.Atoi(refused.header.Get("Retry-After")); err != nil || wait < 1 || wait > 10 {
		t.Errorf("Retry-After is %q", refused.header.Get("Retry-After"))
	}
	// The right guess is no more told than a wrong one, wherever it is sent.
	for _, from := range []string{attacker, neighbour} {
		for _, path := range []string{"/v1/whoami", "/v1/keys", "/v1/audit"} {
			right, wrong := s.do("GET", path, "", with(configured, from)...), s.do("GET", path, "", with("hunter6", from)...)
			if right.problem(429, "too_many_failures").text != wrong.text {
				t.Errorf("%s tells the right guess:\n%s\n%s", path, right.text, wrong.text)
			}
		}
	}
	s.do("GET", "/v1/whoami", "", "Authorization: ", "X-API-Key: "+configured, "Test-From: "+attacker).problem(429, "too_many_failures")
	// Whoever holds a stored key, or comes from elsewhere, notices nothing.
	s.do("GET", "/v1/whoami", "", with(s.admin, attacker)...).want(200)
	s.do("GET", "/v1/whoami", "", with(configured, elsewhere)...).want(200)
	s.pass(10 * time.Second)
	s.do("GET", "/v1/whoami", "", with(configured, attacker)...).want(200)
}

func TestWhatIsNoGuessIsNotCountedAsOne(t *testing.T) {
	const configured = "correct-horse-battery-staple"
	s := newSite(t, withConfigAdmin(t, configured))
	powerless, _ := s.seed("powerless", permission.Set{Mode: permission.All}, permission.None)
	const imported = "an-admin-key-of-another-system"
	s.do("POST", "/v1/keys/import", `{"keys": [{"permissions": {"mode": "all"}, "admin": "read", "secret": "`+imported+`"}]}`).want(201)
	gone := s.create(`{"permissions": {"mode": "all"}}`)
	s.do("DELETE", gone.header.Get("Location"), "").want(204)
	for range 20 {
		for secret, status := range map[string]int{configured: 200, s.admin: 200, powerless: 403, imported: 200, gone.get("secret"): 401} {
			s.do("GET", "/v1/whoami", "", "Authorization: Bearer "+secret).want(status)
		}
		s.do("GET", "/v1/whoami", "", noKey).problem(401, "missing_key")
	}
}

// Of guesses that are sent together no more are judged than of those that are
// sent one after the other.
func TestGuessesSentTogetherAreCountedEach(t *testing.T) {
	s := newSite(t, withConfigAdmin(t, "correct-horse-battery-staple"))
	statuses := make([]int, 40)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			statuses[i] = s.do("GET", "/v1/whoami", "", "Authorization: Bearer "+strings.Repeat("x", i+1)).status
		})
	}
	all.Wait()
	told := map[int]int{}
	for _, status := range statuses {
		told[status]++
	}
	if told[401] != 5 || told[429] != len(statuses)-5 {
		t.Errorf("answered %v", told)
	}
}
