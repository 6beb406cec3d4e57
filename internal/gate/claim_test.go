package gate

import (
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/route"
)

func TestAClaimIsHeldAsLongAsTheKeyMayDoWhatTheRequestNeeds(t *testing.T) {
	now := time.Now()
	milli := now.UnixMilli()
	reads := permission.Set{Mode: permission.ReadOnly}
	one := permission.Set{Mode: permission.Restricted, APIs: []permission.Grant{{API: "rest", Access: permission.Read}}}
	read := Claim{API: "rest", Endpoint: "users", Needs: permission.Read}
	both := Claim{API: "rest", Needs: permission.Read, further: []route.Target{{API: &route.API{Name: "rest"}}, {API: &route.API{Name: "other"}}}}
	within, problems := keys.ParseSources([]string{"203.0.113.0/24"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	from := func(address string) Claim {
		return Claim{API: "rest", Endpoint: "users", Needs: permission.Read, From: address}
	}
	for _, c := range []struct {
		name  string
		claim Claim
		key   *keys.Identity
		want  bool
	}{
		{"a reader reads", read, &keys.Identity{Enabled: true, Permissions: reads}, true},
		{"a reader writes", Claim{API: "rest", Needs: permission.Write}, &keys.Identity{Enabled: true, Permissions: reads}, false},
		{"another API", Claim{API: "other", Needs: permission.Read}, &keys.Identity{Enabled: true, Permissions: one}, false},
		{"all that the path could be taken for", both, &keys.Identity{Enabled: true, Permissions: reads}, true},
		{"one of what the path could be taken for", both, &keys.Identity{Enabled: true, Permissions: one}, false},
		{"gone", read, nil, false},
		{"disabled", read, &keys.Identity{Permissions: reads}, false},
		{"expires now", read, &keys.Identity{Enabled: true, Permissions: reads, ExpiresAt: milli}, false},
		{"expires later", read, &keys.Identity{Enabled: true, Permissions: reads, ExpiresAt: milli + 1}, true},
		{"its grace ends now", read, &keys.Identity{Enabled: true, Permissions: reads, EndsAt: milli}, false},
		{"from its networks", from("203.0.113.7"), &keys.Identity{Enabled: true, Permissions: reads, Sources: within}, true},
		{"from its networks, mapped to IPv6", from("::ffff:203.0.113.7"), &keys.Identity{Enabled: true, Permissions: reads, Sources: within}, true},
		{"from elsewhere", from("203.0.114.7"), &keys.Identity{Enabled: true, Permissions: reads, Sources: within}, false},
		{"from nowhere", read, &keys.Identity{Enabled: true, Permissions: reads, Sources: within}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.claim.HeldBy(c.key, now); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
