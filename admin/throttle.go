package admin

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// An address may be wrong freeAttempts times at once, then once in
	// attemptEvery: enough for somebody who mistypes, too little for guessing
	// a key that an operator made up.
	freeAttempts = 5
	attemptEvery = 10 * time.Second
	// maxAddresses bounds memory. Whoever has more addresses than that shares
	// one allowance with everybody else who is new.
	maxAddresses = 10_000
)

// attempts counts wrong admin keys by the client's address.
type attempts struct {
	guard     sync.Mutex
	byAddress map[string]*attempt
}

type attempt struct {
	allowance *rate.Limiter
	last      time.Time
}

// Wait returns how long the address must wait before it may try a key; 0: it
// may now.
func (a *attempts) Wait(address string, now time.Time) time.Duration {
	a.guard.Lock()
	defer a.guard.Unlock()
	one := a.byAddress[network(address)]
	if one == nil && len(a.byAddress) >= maxAddresses {
		one = a.byAddress[""]
	}
	if one == nil {
		return 0
	}
	missing := 1 - one.allowance.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing * float64(attemptEvery))
}

// Wrong notes that the address tried a key that opens nothing.
func (a *attempts) Wrong(address string, now time.Time) {
	a.guard.Lock()
	defer a.guard.Unlock()
	name := network(address)
	if a.byAddress[name] == nil && len(a.byAddress) >= maxAddresses {
		a.forget(now)
	}
	if a.byAddress[name] == nil && len(a.byAddress) >= maxAddresses {
		name = ""
	}
	one := a.byAddress[name]
	if one == nil {
		one = &attempt{allowance: rate.NewLimiter(rate.Every(attemptEvery), freeAttempts)}
		a.byAddress[name] = one
	}
	one.allowance.AllowN(now, 1)
	one.last = now
}

// forget drops the addresses whose allowance is whole again.
func (a *attempts) forget(now time.Time) {
	for name, one := range a.byAddress {
		if now.Sub(one.last) >= freeAttempts*attemptEvery {
			delete(a.byAddress, name)
		}
	}
}

// network returns what counts as one address: a client has all of an IPv6 /64.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return ""
	}
	return prefix.String()
}
