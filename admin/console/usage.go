package console

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// lately says in words how much a key was used of late; "" where nobody knows.
func (v *visit) lately(row *keyRow) string {
	usage, _, err := v.client.Usage(v.r.Context(), row.ID, admin.UsageFilter{})
	if err != nil { // it is no reason not to ask: the last use is known
		v.Logger.WarnContext(v.r.Context(), "asking how a key was used", "error", err)
		return ""
	}
	v.noteUse(row, usage)
	return latelyWords(usage)
}

// noteUse moves a key's last use on to the last request that was counted. The
// key itself learns of it up to 30 seconds later; nobody shall read meanwhile
// that a key was never used, and delete it.
func (v *visit) noteUse(row *keyRow, usage admin.KeyUsage) {
	last := row.LastUsedAt
	for _, u := range usage.Uses {
		if allowed(u.Outcome) && (last == nil || u.LastAt.After(*last)) {
			last = &u.LastAt
		}
	}
	row.Used = past(last, v.now)
}

func latelyWords(u admin.KeyUsage) string {
	switch {
	case !u.Recording:
		return ""
	case u.Lately.Requests24h > 0:
		return number(u.Lately.Requests24h, "request") + " in the last 24 hours"
	case u.Lately.Requests7d > 0:
		return "none in the last 24 hours, " + number(u.Lately.Requests7d, "request") + " in the last 7 days"
	}
	return "no request in the last 7 days"
}

// number writes a count with its thousands apart: 1,204 requests.
func number(n int64, noun string) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if noun == "" {
		return digits
	}
	if n == 1 {
		return digits + " " + noun
	}
	return digits + " " + noun + "s"
}

// period is a time that is looked back on.
type period struct {
	Word, Label string
	Time        time.Duration
	step        string
}

var periods = []period{
	{"1", "24 hours", 24 * time.Hour, "hour"},
	{"7", "7 days", 7 * 24 * time.Hour, "hour"},
	{"30", "30 days", 30 * 24 * time.Hour, "day"},
	{"90", "90 days", 90 * 24 * time.Hour, "day"},
}

// keyPage is the page of one key: what it is, and what it does.
type keyPage struct {
	Row    keyRow
	About  *about
	Usage  admin.KeyUsage
	Chart  chart
	Period period
	Since  moment // since when there is usage
	APIs   []usedAPI
	Uses   []use
	More   string // uses beyond those listed
}

// Periods is the choice of times, for the template.
func (keyPage) Periods() []period { return periods }

// Columns are those of the list.
func (keyPage) Columns() []column { return plainColumns() }

// Total is how many requests the period had, in words.
func (p keyPage) Total() string { return number(p.Usage.Requests, "request") }

// Refused is how many of them were refused.
func (p keyPage) Refused() string { return number(p.Usage.Refused, "") }

// usedAPI is how much a key used one API.
type usedAPI struct {
	Name              string // "": not decided
	Requests, Refused string
	Last              moment
}

// use is what requests were for, and what became of them.
type use struct {
	admin.UsedFor
	Count string
	Last  moment
}

// Endpoints beyond those that are counted one by one have no name.
func (u use) Where() string { return where(u.Target) }

func where(t admin.Target) string {
	if t.OtherEndpoints {
		return t.API + "/ other endpoints"
	}
	if t.Endpoint == "" {
		return t.API
	}
	return t.API + "/" + t.Endpoint
}

// showKey is the page of one key.
func (v *visit) showKey() error {
	key, _, err := v.client.Get(v.r.Context(), v.form.Get("id"))
	if err != nil {
		return err
	}
	p := keyPage{Row: v.row(&key), Period: periods[1]}
	for _, known := range periods {
		if known.Word == v.form.Get("days") {
			p.Period = known
		}
	}
	p.Usage, _, err = v.client.Usage(v.r.Context(), key.ID, admin.UsageFilter{From: v.now.Add(-p.Period.Time), To: v.now, Step: p.Period.step})
	if err != nil {
		return err
	}
	v.noteUse(&p.Row, p.Usage)
	p.Since = past(p.Usage.RecordedSince, v.now)
	p.Chart = chartOf(p.Usage.Series, p.Period.step)
	p.APIs, p.Uses = v.usedAPIs(p.Usage.Uses), v.uses(p.Usage.Uses)
	if more := len(p.Usage.Uses) - len(p.Uses) + p.Usage.MoreUses; more > 0 {
		p.More = number(int64(more), "more")
	}
	if p.About, err = v.about(&key); err != nil {
		return err
	}
	v.page(http.StatusOK, "key", p)
	return nil
}

// shownUses is how many a page lists: the first are what matters.
const shownUses = 100

func (v *visit) uses(all []admin.UsedFor) []use {
	var out []use
	for _, u := range all[:min(len(all), shownUses)] {
		out = append(out, use{UsedFor: u, Count: number(u.Requests, ""), Last: past(&u.LastAt, v.now)})
	}
	return out
}

// usedAPIs adds up the uses by API, the one used last first.
func (v *visit) usedAPIs(all []admin.UsedFor) []usedAPI {
	type sum struct {
		requests, refused int64
		last              time.Time
	}
	sums := map[string]*sum{}
	for _, u := range all {
		s := sums[u.API]
		if s == nil {
			s = &sum{}
			sums[u.API] = s
		}
		s.requests += u.Requests
		if !allowed(u.Outcome) {
			s.refused += u.Requests
		}
		if u.LastAt.After(s.last) {
			s.last = u.LastAt
		}
	}
	names := sortedNames(sums)
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(sums[b].last.UnixNano(), sums[a].last.UnixNano()) })
	var out []usedAPI
	for _, name := range names {
		s := sums[name]
		out = append(out, usedAPI{Name: name, Requests: number(s.requests, ""), Refused: number(s.refused, ""), Last: past(&s.last, v.now)})
	}
	return out
}

// allowed reports whether a request with this outcome went on: it did also
// where the gateway only says what it would have refused.
func allowed(outcome string) bool {
	return outcome == "allowed" || strings.HasPrefix(outcome, "would_")
}

// suggestion is less than what a key may do, and enough for what it did.
type suggestion struct {
	admin.Suggestion
	Words, Detail, Requests string
}

// suggestion returns nil where the key needs all that it has, or did nothing
// that one could go by.
func (v *visit) suggestion(id string) (*suggestion, error) {
	found, _, err := v.client.Suggestion(v.r.Context(), id, 0)
	var problem *admin.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusUnprocessableEntity {
		return nil, nil // an API of it is declared by nobody just now
	}
	if err != nil || !found.Smaller || found.Requests == 0 {
		return nil, err
	}
	return &suggestion{found, accessWords(found.Permissions), accessDetail(found.Permissions), number(found.Requests, "request")}, nil
}
