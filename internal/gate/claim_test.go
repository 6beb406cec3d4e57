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
	identity := func(r keys.Rights, expiresAt int64) *keys.Identity {
		return keys.NewIdentity(keys.Digest{}, keys.Names{}, &r, expiresAt)
	}
	for _, c := range []struct {
		name  string
		claim Claim
		key   *keys.Identity
		want  bool
	}{
		{"a reader reads", read, identity(keys.Rights{Enabled: true, Permissions: reads}, 0), true},
		{"a reader writes", Claim{API: "rest", Needs: permission.Write}, identity(keys.Rights{Enabled: true, Permissions: reads}, 0), false},
		{"another API", Claim{API: "other", Needs: permission.Read}, identity(keys.Rights{Enabled: true, Permissions: one}, 0), false},
		{"all that the path could be taken for", both, identity(keys.Rights{Enabled: true, Permissions: reads}, 0), true},
		{"one of what the path could be taken for", both, identity(keys.Rights{Enabled: true, Permissions: one}, 0), false},
		{"gone", read, nil, false},
		{"disabled", read, identity(keys.Rights{Permissions: reads}, 0), false},
		{"expires now", read, identity(keys.Rights{Enabled: true, Permissions: reads}, milli), false},
		{"expires later", read, identity(keys.Rights{Enabled: true, Permissions: reads}, milli+1), true},
		{"its grace ends now", read, identity(keys.Rights{Enabled: true, Permissions: reads, EndsAt: milli}, 0), false},
		{"from its networks", from("203.0.113.7"), identity(keys.Rights{Enabled: true, Permissions: reads, Sources: within}, 0), true},
		{"from its networks, mapped to IPv6", from("::ffff:203.0.113.7"), identity(keys.Rights{Enabled: true, Permissions: reads, Sources: within}, 0), true},
		{"from elsewhere", from("203.0.114.7"), identity(keys.Rights{Enabled: true, Permissions: reads, Sources: within}, 0), false},
		{"from nowhere", read, identity(keys.Rights{Enabled: true, Permissions: reads, Sources: within}, 0), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.claim.HeldBy(c.key, now); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
