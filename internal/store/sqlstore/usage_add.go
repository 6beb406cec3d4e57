package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

var (
	usageColumns = []Column{
		{"step", Integer},
		{"at", Integer},
		{"key_n", Integer},
		{"api", String},
		{"endpoint", String},
		{"access", Integer},
		{"outcome", String},
		{"n", Integer},
		{"last_at", Integer},
	}
	totalColumns = []Column{
		{"step", Integer},
		{"at", Integer},
		{"api", String},
		{"owner", String},
		{"allowed", Integer},
		{"refused", Integer},
		{"last_at", Integer},
	}
)

const (
	// Nothing is written, and so nothing returned, if this batch or a later one was.
	claimBatchSQL = `INSERT INTO usage_writers (id, batch, at) VALUES ($1, $2, NOW)
		ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, at = excluded.at WHERE usage_writers.batch < excluded.batch`
	usersSQL = `SELECT id, n, owner FROM keys WHERE `

	laterSQL   = `CASE WHEN excluded.last_at > TABLE.last_at THEN excluded.last_at ELSE TABLE.last_at END`
	addUsesSQL = `ON CONFLICT (step, at, key_n, api, endpoint, access, outcome)
		DO UPDATE SET n = usage.n + excluded.n, last_at = `
	addTotalsSQL = `ON CONFLICT (step, at, api, owner) DO UPDATE SET allowed = usage_totals.allowed + excluded.allowed,
		refused = usage_totals.refused + excluded.refused, last_at = `
)

// AddUsage implements keys.Store. It is no change: no number, no feed, no audit.
func (s *Store) AddUsage(ctx context.Context, b keys.UsageBatch) error {
	if err := s.addUsage(ctx, b); err != nil {
		return fmt.Errorf("counting how keys were used: %w", err)
	}
	return nil
}

func (s *Store) addUsage(ctx context.Context, b keys.UsageBatch) error {
	tx, err := s.engine.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after the commit this does nothing
	add := &adding{change: change{Tx: tx, store: s}, users: map[keys.ID]user{}}
	done, err := add.ExecContext(ctx, s.atNow(claimBatchSQL), b.Writer, b.Number)
	if err != nil {
		return err
	}
	if fresh, err := done.RowsAffected(); err != nil || fresh == 0 {
		return err
	}
	if err := add.write(ctx, b.Used); err != nil {
		return err
	}
	return tx.Commit()
}

// adding is a batch of usage that is being added.
type adding struct {
	change
	users map[keys.ID]user
}

// user is a key that was used, and is still there.
type user struct {
	n     int64
	owner string
}

func (a *adding) write(ctx context.Context, used []keys.Used) error {
	if err := a.findUsers(ctx, used); err != nil {
		return err
	}
	uses := make(map[useRow]*tally, len(used)*len(keys.Steps))
	totals := make(map[totalRow]*tally)
	for i := range used {
		u, ok := a.users[used[i].Key]
		if !ok || used[i].N <= 0 {
			continue
		}
		for _, step := range keys.Steps {
			row := newUseRow(step, u.n, &used[i])
			tallyOf(uses, row).add(&used[i])
			if step != keys.Minute {
				tallyOf(totals, totalRow{row.step, row.at, row.api, cut(u.owner)}).add(&used[i])
			}
		}
	}
	if err := a.bound(ctx, uses); err != nil {
		return err
	}
	if err := a.writeUses(ctx, uses); err != nil {
		return err
	}
	return a.writeTotals(ctx, totals)
}

func (a *adding) findUsers(ctx context.Context, used []keys.Used) (err error) {
	var ids []string
	for i := range used {
		if id := string(used[i].Key); a.store.engine.Text(id) != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	condition, list := a.store.engine.Among("id", "$1", slices.Compact(ids))
	rows, err := a.QueryContext(ctx, usersSQL+condition, list)
	if err != nil {
		return err
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var id keys.ID
		var u user
		if err := rows.Scan(&id, &u.n, &u.owner); err != nil {
			return err
		}
		a.users[id] = u
	}
	return nil
}

// useRow is a row of usage, and totalRow one of usage_totals: what is counted
// apart.
type (
	useRow struct {
		step, at, key, access  int64
		api, endpoint, outcome string
	}
	totalRow struct {
		step, at   int64
		api, owner string
	}
)

func newUseRow(step keys.Step, n int64, u *keys.Used) useRow {
	return useRow{
		step: int64(step), at: milli(step.Floor(u.LastAt)), key: n, access: int64(u.Access),
		api: cut(u.API), endpoint: cut(u.Endpoint), outcome: cut(u.Outcome),
	}
}

func (r useRow) compare(o useRow) int {
	return cmp.Or(cmp.Compare(r.step, o.step), cmp.Compare(r.at, o.at), cmp.Compare(r.key, o.key), strings.Compare(r.api, o.api),
		strings.Compare(r.endpoint, o.endpoint), cmp.Compare(r.access, o.access), strings.Compare(r.outcome, o.outcome))
}

func (r totalRow) compare(o totalRow) int {
	return cmp.Or(cmp.Compare(r.step, o.step), cmp.Compare(r.at, o.at), strings.Compare(r.api, o.api), strings.Compare(r.owner, o.owner))
}

// cut makes a text fit for an index, and for every engine. What the gateway
// counts is much shorter, and needs none of it.
func cut(text string) string {
	const most = 800
	if len(text) > most {
		text = text[:most]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// tally is what is added to a row.
type tally struct{ allowed, refused, last int64 }

func tallyOf[R comparable](all map[R]*tally, row R) *tally {
	t := all[row]
	if t == nil {
		t = new(tally)
		all[row] = t
	}
	return t
}

func (t *tally) add(u *keys.Used) {
	if u.Outcome == keys.OutcomeAllowed {
		t.allowed += u.N
	} else {
		t.refused += u.N
	}
	t.last = max(t.last, milli(u.LastAt))
}

func (t *tally) join(o *tally) {
	t.allowed, t.refused, t.last = t.allowed+o.allowed, t.refused+o.refused, max(t.last, o.last)
}

func (a *adding) writeUses(ctx context.Context, uses map[useRow]*tally) error {
	rows := NewRows("usage", usageColumns, len(uses))
	rows.Known = addUsesSQL + strings.ReplaceAll(laterSQL, "TABLE", "usage")
	for _, r := range inOrder(uses, useRow.compare) {
		t := uses[r]
		rows.Add(r.step, r.at, r.key, r.api, r.endpoint, r.access, r.outcome, t.allowed+t.refused, t.last)
	}
	_, err := a.store.engine.Insert(ctx, a.Tx, rows)
	return err
}

func (a *adding) writeTotals(ctx context.Context, totals map[totalRow]*tally) error {
	rows := NewRows("usage_totals", totalColumns, len(totals))
	rows.Known = addTotalsSQL + strings.ReplaceAll(laterSQL, "TABLE", "usage_totals")
	for _, r := range inOrder(totals, totalRow.compare) {
		t := totals[r]
		rows.Add(r.step, r.at, r.api, r.owner, t.allowed, t.refused, t.last)
	}
	_, err := a.store.engine.Insert(ctx, a.Tx, rows)
	return err
}

// inOrder returns the rows of a map in one order for all nodes, so that two that
// add to the same rows wait for each other and don't deadlock.
func inOrder[R comparable](all map[R]*tally, compare func(a, b R) int) []R {
	rows := make([]R, 0, len(all))
	for r := range all {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, compare)
	return rows
}

const (
	usesADaySQL = `SELECT key_n, count(*) FROM usage WHERE step = 86400 AND at = $1 AND `
	knownUseSQL = `SELECT api, endpoint, access, outcome FROM usage WHERE step = 86400 AND at = $1 AND key_n = $2`
)

// bound puts what is too much for a key's day with its other endpoints. It
// counts on all nodes' behalf; two that write at the same moment may let a few
// more pass.
func (a *adding) bound(ctx context.Context, uses map[useRow]*tally) error {
	days := map[int64]map[int64]int64{} // by day and key: how many there are in this batch
	for r := range uses {
		if r.step != int64(keys.Day) {
			continue
		}
		if days[r.at] == nil {
			days[r.at] = map[int64]int64{}
		}
		days[r.at][r.key]++
	}
	for day, users := range days {
		if err := a.countDay(ctx, day, users); err != nil {
			return err
		}
		for n, most := range users {
			if most <= keys.MaxUsesADay {
				continue
			}
			if err := a.fold(ctx, day, n, uses); err != nil {
				return err
			}
		}
	}
	return nil
}

// countDay adds to each of the keys what the day has of it already.
func (a *adding) countDay(ctx context.Context, day int64, users map[int64]int64) (err error) {
	numbers := make([]int64, 0, len(users))
	for n := range users {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	condition, list := a.store.engine.Among("key_n", "$2", numbers)
	rows, err := a.QueryContext(ctx, usesADaySQL+condition+` GROUP BY key_n`, day, list)
	if err != nil {
		return err
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var n, count int64
		if err := rows.Scan(&n, &count); err != nil {
			return err
		}
		users[n] += count
	}
	return nil
}

// fold gives rows of a key and a day to its other endpoints, but those that
// are there already, and new ones as long as there is room.
func (a *adding) fold(ctx context.Context, day, n int64, uses map[useRow]*tally) error {
	known, err := a.knownUses(ctx, day, n)
	if err != nil {
		return err
	}
	until := day + keys.Day.Duration().Milliseconds()
	for _, r := range inOrder(uses, useRow.compare) {
		if r.key != n || r.at < day || r.at >= until || r.endpoint == keys.OtherEndpoints {
			continue
		}
		what := keys.What{API: r.api, Endpoint: r.endpoint, Outcome: r.outcome}
		what.Access = access(r.access)
		switch {
		case known[what]:
			continue
		case len(known) < keys.MaxUsesADay:
			known[what] = true
			continue
		}
		into := r
		into.endpoint = keys.OtherEndpoints
		tallyOf(uses, into).join(uses[r])
		delete(uses, r)
	}
	return nil
}

func (a *adding) knownUses(ctx context.Context, day, n int64) (known map[keys.What]bool, err error) {
	rows, err := a.QueryContext(ctx, knownUseSQL, day, n)
	if err != nil {
		return nil, err
	}
	defer closeRows(rows, &err)
	known = map[keys.What]bool{}
	for rows.Next() {
		var what keys.What
		var number int64
		if err := rows.Scan(&what.API, &what.Endpoint, &number, &what.Outcome); err != nil {
			return nil, err
		}
		what.Access = access(number)
		known[what] = true
	}
	return known, nil
}
