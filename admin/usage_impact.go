package admin

import (
	"time"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// impact is POST /v1/keys/{id}/impact: which of the requests that were let
// through a change would have refused. It changes nothing.
func (a *api) impact(c *call) (any, error) {
	change := a.proposal(c)
	if err := c.fault(); err != nil {
		return nil, err
	}
	a.flushUsage(c)
	key, usage, from, err := a.lastDays(c, change.days)
	if err != nil {
		return nil, err
	}
	out := Impact{Days: change.days, From: from, To: c.now, Recorded: a.recorded(usage.Since), Uses: []ImpactOn{}}
	if out.Lately, err = a.lately(c, key); err != nil {
		return nil, err
	}
	mostFirst(usage.Uses)
	for _, u := range usage.Uses {
		if u.Outcome != keys.OutcomeAllowed {
			continue
		}
		out.Requests += u.N
		has, outcome := change.judge(u.What)
		if outcome == gate.Allowed {
			continue
		}
		out.Refused += u.N
		if out.LastRefusedAt == nil || u.LastAt.After(*out.LastRefusedAt) {
			out.LastRefusedAt = showTime(u.LastAt)
		}
		if len(out.Uses) == maxUses {
			out.MoreUses++
			continue
		}
		out.Uses = append(out.Uses, ImpactOn{
			Target: showTarget(u.What), Has: has.String(), Code: outcome.Code(), Requests: u.N, LastAt: u.LastAt.UTC(),
		})
	}
	return out, nil
}

// lastDays returns a key and its usage since the beginning of the day that was
// so many days ago.
func (a *api) lastDays(c *call, days int) (*keys.Key, *keys.Usage, time.Time, error) {
	key, err := a.Store.Get(c.ctx, c.id(), c.now)
	if err != nil {
		return nil, nil, time.Time{}, err
	}
	from := keys.Day.Floor(c.now.AddDate(0, 0, -days))
	usage, err := a.Store.Usage(c.ctx, keys.UsageQuery{Key: key.ID, Step: keys.Day, From: from, To: c.now.Add(time.Millisecond)})
	return key, usage, from, err
}

// proposal is a change that somebody thinks of.
type proposal struct {
	permissions *permission.Set // nil: they stay
	disable     bool
	remove      bool
	days        int
}

func (a *api) proposal(c *call) proposal {
	object, isObject := c.body.(map[string]any)
	p := proposal{days: defaultDays}
	for field, value := range object {
		switch field {
		case "permissions":
			set := a.fields(c).permissions(field, value)
			p.permissions = &set
		case "enabled":
			p.disable = value == false
		case "delete":
			p.remove = value == true
		case "days":
			p.days = int(whole(value))
		}
	}
	if _, asked := object["enabled"]; isObject && p.permissions == nil && !p.remove && !asked {
		c.faults.add("", "expected a change: permissions, enabled or delete")
	}
	return p
}

// judge says what would become of a request. Endpoints that are not told apart
// are judged as paths that belong to none: they count as refused where only
// some endpoints are open.
func (p *proposal) judge(what keys.What) (permission.Access, gate.Outcome) {
	if p.remove {
		return permission.None, gate.UnknownKey
	}
	if p.disable {
		return permission.None, gate.DisabledKey
	}
	if p.permissions == nil {
		return what.Access, gate.Allowed
	}
	endpoint := what.Endpoint
	if endpoint == keys.OtherEndpoints {
		endpoint = ""
	}
	has := p.permissions.For(what.API, endpoint)
	if has < what.Access {
		return has, gate.InsufficientAccess
	}
	return has, gate.Allowed
}
