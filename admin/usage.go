package admin

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Usage counts how keys are used. usage.Recorder does.
type Usage interface {
	// Flush writes down what was counted so far.
	Flush(ctx context.Context) error
	// Keep is how long usage is kept; 0: none is counted.
	Keep() time.Duration
}

const (
	// maxBuckets is a day in minutes, two months in hours, four years in days.
	maxBuckets = 1500
	// maxUses bounds an answer: endpoints are captured from paths.
	maxUses = 1000
	// defaultDays is how far back people look who don't say.
	defaultDays = 30
	// hoursKept is how long usage is there by the hour.
	hoursKept = 14 * 24 * time.Hour
	// flushTime bounds the wait for this node's own counts: what can't be
	// written in that time is missing in the answer.
	flushTime = 2 * time.Second
)

var stepNames = map[string]keys.Step{"minute": keys.Minute, "hour": keys.Hour, "day": keys.Day}

// keyUsage is GET /v1/keys/{id}/usage.
func (a *api) keyUsage(c *call) (any, error) {
	step := stepNames[c.query.or("step", "hour")]
	to := c.query.time("to", c.now)
	from := c.query.time("from", to.Add(-24*time.Hour))
	if step != 0 && c.faults.err() == nil {
		c.checkSpan(from, to, step)
	}
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	a.flushUsage(c)
	key, err := a.Store.Get(c.ctx, c.id(), c.now)
	if err != nil {
		return nil, err
	}
	usage, err := a.Store.Usage(c.ctx, keys.UsageQuery{Key: c.id(), Step: step, From: from, To: to})
	if err != nil {
		return nil, err
	}
	out := KeyUsage{From: step.Floor(from), To: ceil(step, to), Step: c.query.or("step", "hour"), Recorded: a.recorded(usage.Since)}
	if out.Lately, err = a.lately(c, key); err != nil {
		return nil, err
	}
	for _, b := range usage.Buckets {
		out.Allowed, out.Refused = out.Allowed+b.Allowed, out.Refused+b.Refused
	}
	out.Requests = out.Allowed + out.Refused
	out.Series = showSeries(usage.Buckets, out.From, out.To, step)
	mostFirst(usage.Uses)
	out.Uses = make([]UsedFor, 0, min(len(usage.Uses), maxUses))
	for _, u := range usage.Uses[:min(len(usage.Uses), maxUses)] {
		out.Uses = append(out.Uses, UsedFor{Target: showTarget(u.What), Outcome: u.Outcome, Requests: u.N, LastAt: u.LastAt.UTC()})
	}
	out.MoreUses = len(usage.Uses) - len(out.Uses)
	return out, nil
}

// checkSpan notes what is wrong with a span of time.
func (c *call) checkSpan(from, to time.Time, step keys.Step) {
	switch span := to.Sub(from); {
	case span <= 0:
		c.faults.add("from", "expected a time before to")
	case span > maxBuckets*step.Duration():
		c.faults.addf("from", "expected at most %d buckets to to; ask for a shorter time, or a longer step", maxBuckets)
	}
}

// ceil returns the end of the bucket that holds what is before t.
func ceil(step keys.Step, t time.Time) time.Time {
	if floor := step.Floor(t); floor.Before(t) {
		return floor.Add(step.Duration())
	}
	return t.UTC()
}

// flushUsage makes what this node has counted a part of the answer. Other nodes
// do so every few seconds.
func (a *api) flushUsage(c *call) {
	if a.Usage == nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, flushTime)
	defer cancel()
	if err := a.Usage.Flush(ctx); err != nil {
		a.logFault(c.request, err)
	}
}

func (a *api) recorded(since time.Time) Recorded {
	return Recorded{Recording: a.Usage != nil && a.Usage.Keep() > 0, RecordedSince: showTime(since)}
}

// lately returns how much a key was used of late, from the hours of a week.
func (a *api) lately(c *call, key *keys.Key) (Lately, error) {
	week, err := a.Store.Usage(c.ctx, keys.UsageQuery{Key: key.ID, Step: keys.Hour, From: c.now.AddDate(0, 0, -7), To: c.now.Add(time.Millisecond)})
	if err != nil {
		return Lately{}, err
	}
	out := Lately{LastUsedAt: showTime(key.LastUsedAt)}
	day := keys.Hour.Floor(c.now.Add(-24 * time.Hour))
	for _, b := range week.Buckets {
		out.Requests7d += b.Allowed
		if !b.At.Before(day) {
			out.Requests24h += b.Allowed
		}
	}
	return out, nil
}

// showSeries fills in the buckets in which nothing happened.
func showSeries(buckets []keys.UsageBucket, from, to time.Time, step keys.Step) []UsageBucket {
	out := make([]UsageBucket, 0, int(to.Sub(from)/step.Duration()))
	for at := from; at.Before(to); at = at.Add(step.Duration()) {
		b := UsageBucket{At: at}
		if len(buckets) > 0 && buckets[0].At.Equal(at) {
			b.Allowed, b.Refused = buckets[0].Allowed, buckets[0].Refused
			buckets = buckets[1:]
		}
		out = append(out, b)
	}
	return out
}

func showTarget(what keys.What) Target {
	t := Target{API: what.API, Endpoint: what.Endpoint, Access: what.Access.String()}
	if t.Endpoint == keys.OtherEndpoints {
		t.Endpoint, t.OtherEndpoints = "", true
	}
	return t
}

func mostFirst(uses []keys.UsageOf) {
	slices.SortStableFunc(uses, func(a, b keys.UsageOf) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.API, b.API), cmp.Compare(a.Endpoint, b.Endpoint),
			cmp.Compare(a.Access, b.Access), cmp.Compare(a.Outcome, b.Outcome))
	})
}

// sumUsage is GET /v1/usage.
func (a *api) sumUsage(c *call) (any, error) {
	group := c.query["group_by"]
	if _, known := c.faults.byField["group_by"]; group == "" && !known {
		c.faults.add("group_by", "expected one of api, owner, key")
	}
	to := c.query.time("to", c.now)
	from := c.query.time("from", to.Add(-24*time.Hour))
	step := keys.Hour
	if to.Sub(from) > hoursKept || c.now.Sub(from) > hoursKept {
		step = keys.Day
	}
	if c.faults.err() == nil {
		c.checkSpan(from, to, step)
	}
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	a.flushUsage(c)
	sums, err := a.Store.SumUsage(c.ctx, keys.UsageSumQuery{
		Group: keys.UsageGroup(group), Step: step, From: from, To: to, Limit: c.query.limit(),
	})
	if err != nil {
		return nil, err
	}
	out := UsageSums{GroupBy: group, From: step.Floor(from), To: ceil(step, to), Recorded: a.recorded(sums.Since), Data: make([]UsageSum, len(sums.Groups))}
	for i, s := range sums.Groups {
		out.Data[i] = UsageSum{
			Name: s.Name, Key: orNull(string(s.Key)),
			Requests: s.Allowed + s.Refused, Allowed: s.Allowed, Refused: s.Refused, LastAt: s.LastAt.UTC(),
		}
	}
	return out, nil
}

// or returns a parameter, or a default where it is left out.
func (q query) or(name, other string) string {
	if q[name] == "" {
		return other
	}
	return q[name]
}

// time returns a parameter that is a time, which the schema has judged.
func (q query) time(name string, other time.Time) time.Time {
	if t, ok := parseTime(q[name]); ok {
		return t.UTC()
	}
	return other
}

// days returns how many days back to look.
func (q query) days() int {
	n, err := strconv.Atoi(q["days"])
	if err != nil {
		return defaultDays
	}
	return n
}
