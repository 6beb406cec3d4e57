package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

const (
	numberOfSQL = `SELECT n FROM keys WHERE id = $1`
	// Each bucket is one look-up: the table lies in the order of time.
	usageSQL = `WITH RECURSIVE bucket (at) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT at + $2 FROM bucket WHERE at + $2 < $3)
		SELECT u.at, u.api, u.endpoint, u.access, u.outcome, u.n, u.last_at
		FROM bucket b CROSS JOIN usage u WHERE u.step = $4 AND u.at = b.at AND u.key_n = $5 ORDER BY b.at`
	usageSinceSQL = `SELECT at FROM usage WHERE step = 86400 ORDER BY step, at LIMIT 1`
)

// Usage implements keys.Store.
func (s *Store) Usage(ctx context.Context, q keys.UsageQuery) (*keys.Usage, error) {
	usage, err := s.usage(ctx, q)
	if err != nil && !errors.Is(err, keys.ErrNoSuchKey) {
		return nil, fmt.Errorf("reading how a key was used: %w", err)
	}
	return usage, err
}

func (s *Store) usage(ctx context.Context, q keys.UsageQuery) (_ *keys.Usage, err error) {
	var n int64
	err = s.engine.Read.QueryRowContext(ctx, numberOfSQL, s.engine.Text(string(q.Key))).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, keys.ErrNoSuchKey
	}
	if err != nil {
		return nil, err
	}
	out := &keys.Usage{}
	if out.Since, err = s.usageSince(ctx); err != nil {
		return nil, err
	}
	from, to := outwards(q.Step, q.From, q.To)
	if from >= to {
		return out, nil
	}
	rows, err := s.engine.Read.QueryContext(ctx, usageSQL, from, q.Step.Duration().Milliseconds(), to, int64(q.Step), n)
	if err != nil {
		return nil, err
	}
	defer closeRows(rows, &err)
	return out, sumRows(rows, out)
}

// usageSince returns the first day of which there is usage; zero for none.
func (s *Store) usageSince(ctx context.Context) (time.Time, error) {
	at, found, err := s.number(ctx, usageSinceSQL)
	if err != nil || !found {
		return time.Time{}, err
	}
	return fromMilli(at), nil
}

// outwards moves a time span to where buckets begin.
func outwards(step keys.Step, from, to time.Time) (int64, int64) {
	end := step.Floor(to)
	if end.Before(to) {
		end = end.Add(step.Duration())
	}
	return milli(step.Floor(from)), milli(end)
}

// sumRows adds the rows of one key up, by bucket and by use.
func sumRows(rows *sql.Rows, out *keys.Usage) error {
	place := map[keys.What]int{}
	for rows.Next() {
		var at, number, n, last int64
		var what keys.What
		if err := rows.Scan(&at, &what.API, &what.Endpoint, &number, &what.Outcome, &n, &last); err != nil {
			return err
		}
		what.Access = access(number)
		if k := len(out.Buckets); k == 0 || milli(out.Buckets[k-1].At) != at {
			out.Buckets = append(out.Buckets, keys.UsageBucket{At: fromMilli(at)})
		}
		bucket := &out.Buckets[len(out.Buckets)-1]
		if what.Outcome == keys.OutcomeAllowed {
			bucket.Allowed += n
		} else {
			bucket.Refused += n
		}
		i, ok := place[what]
		if !ok {
			i = len(out.Uses)
			place[what] = i
			out.Uses = append(out.Uses, keys.UsageOf{What: what})
		}
		use := &out.Uses[i]
		use.N += n
		if t := fromMilli(last); t.After(use.LastAt) {
			use.LastAt = t
		}
	}
	return nil
}

// access returns what a number of the table stands for; the highest for one
// that no version has written.
func access(number int64) permission.Access {
	if number < 0 || number > int64(permission.Write) {
		return permission.Write
	}
	return permission.Access(number)
}

const (
	sumTotalsSQL = `SELECT COLUMN, '', CAST(sum(allowed) AS BIGINT), CAST(sum(refused) AS BIGINT), max(last_at) FROM usage_totals
		WHERE step = $1 AND at >= $2 AND at < $3 GROUP BY 1 ORDER BY sum(allowed) + sum(refused) DESC, 1 LIMIT $4`
	sumByKeySQL = `SELECT k.name, k.id, CAST(u.allowed AS BIGINT), CAST(u.refused AS BIGINT), u.last_at FROM (
			SELECT key_n, sum(CASE WHEN outcome = 'allowed' THEN n ELSE 0 END) AS allowed,
				sum(CASE WHEN outcome = 'allowed' THEN 0 ELSE n END) AS refused, max(last_at) AS last_at
			FROM usage WHERE step = $1 AND at >= $2 AND at < $3 GROUP BY key_n
		) u JOIN keys k ON k.n = u.key_n ORDER BY u.allowed + u.refused DESC, k.n LIMIT $4`
)

// sumSQL are the queries of the groups.
var sumSQL = map[keys.UsageGroup]string{
	keys.ByAPI: strings.Replace(sumTotalsSQL, "COLUMN", "api", 1), keys.ByOwner: strings.Replace(sumTotalsSQL, "COLUMN", "owner", 1), keys.ByKey: sumByKeySQL,
}

// SumUsage implements keys.Store.
func (s *Store) SumUsage(ctx context.Context, q keys.UsageSumQuery) (_ *keys.UsageSums, err error) {
	text, ok := sumSQL[q.Group]
	if !ok || q.Step != keys.Hour && q.Step != keys.Day {
		return nil, fmt.Errorf("usage is not added up by %q and %s", q.Group, q.Step.Duration())
	}
	var sums keys.UsageSums
	if sums.Since, err = s.usageSince(ctx); err != nil {
		return nil, fmt.Errorf("adding usage up: %w", err)
	}
	from, to := outwards(q.Step, q.From, q.To)
	rows, err := s.engine.Read.QueryContext(ctx, text, int64(q.Step), from, to, pageSize(q.Limit))
	if err != nil {
		return nil, fmt.Errorf("adding usage up: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var sum keys.UsageSum
		var last int64
		if err := rows.Scan(&sum.Name, &sum.Key, &sum.Allowed, &sum.Refused, &last); err != nil {
			return nil, fmt.Errorf("adding usage up: %w", err)
		}
		sum.LastAt = fromMilli(last)
		sums.Groups = append(sums.Groups, sum)
	}
	return &sums, nil
}
