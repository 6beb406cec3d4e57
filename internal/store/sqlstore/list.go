package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// List implements keys.Store.
func (s *Store) List(ctx context.Context, q keys.Query) (page []*keys.Key, next string, err error) {
	before, err := parseCursor(keyList, q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := pageSize(q.Limit)
	text, args, err := s.listSQL(ctx, q, before, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.engine.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, "", fmt.Errorf("listing keys: %w", err)
	}
	defer closeRows(rows, &err)
	var last int64
	for rows.Next() {
		if len(page) == limit {
			return page, cursor(keyList, last), nil
		}
		r, err := scanKey(rows)
		if err != nil {
			return nil, "", fmt.Errorf("listing keys: %w", err)
		}
		page, last = append(page, r.key), r.n
	}
	return page, "", nil
}

// listing builds the query of one page. A filter is a condition on keys k;
// but one of them, if possible, becomes where the keys come from: an index
// that holds just the keys that pass it, newest first, so that a page costs
// the same with a thousand keys and with a million.
type listing struct {
	store *Store
	args  []any
	// arms are selects of the numbers of keys, each without its filters;
	// together they give what passes the filter that they stand for.
	arms    []string
	filters []string
}

// arg adds an argument and returns the parameter that stands for it.
func (l *listing) arg(value any) string {
	l.args = append(l.args, value)
	return fmt.Sprintf("$%d", len(l.args))
}

// The parameters that every listing has: now, the page's beginning, its size.
const (
	nowParameter    = "$1"
	beforeParameter = "$2"
	limitParameter  = "$3"
)

// listSQL asks for one key more than the page has, which tells whether there
// is a next page.
func (s *Store) listSQL(ctx context.Context, q keys.Query, before int64, limit int) (string, []any, error) {
	l := &listing{store: s, args: []any{milli(q.Now), before, limit + 1}}
	if err := l.plan(ctx, q); err != nil {
		return "", nil, err
	}
	if l.arms == nil {
		l.arms = []string{`SELECT k.n FROM keys k WHERE k.n < ` + beforeParameter}
	}
	for i := range l.arms {
		l.arms[i] = strings.Join(append([]string{l.arms[i]}, l.filters...), " AND ")
	}
	return `SELECT ` + keyColumns + ` FROM (` + strings.Join(l.arms, " UNION ALL ") + ` ORDER BY 1 DESC LIMIT ` + limitParameter + `) page
		JOIN keys k ON k.n = page.n ` + previousSecret + ` ORDER BY k.n DESC`, l.args, nil
}

// plan turns the filters into arms and conditions, the filter that is likely
// to leave the fewest keys first.
func (l *listing) plan(ctx context.Context, q keys.Query) error {
	if q.Owner != nil {
		few, err := l.fewOf(ctx, *q.Owner)
		if err != nil {
			return err
		}
		if few || q.Text == "" {
			l.byOwner(*q.Owner)
		} else {
			l.filters = append(l.filters, `k.owner = `+l.arg(*q.Owner))
		}
	}
	if q.Text != "" {
		l.byText(Fold(q.Text))
	}
	if q.API != "" {
		l.byAPI(q.API)
	}
	if q.Status != "" {
		return l.byStatus(q.Status)
	}
	return nil
}

// fewKeys is how many keys can be looked through in a few milliseconds.
const fewKeys = 2000

const ownersKeysSQL = `SELECT count(*) FROM (SELECT 1 FROM keys WHERE owner = $1 LIMIT $2) some`

// fewOf reports whether the owner has so few keys that looking through them
// is better than any index.
func (l *listing) fewOf(ctx context.Context, owner string) (bool, error) {
	var n int
	if err := l.store.engine.Read.QueryRowContext(ctx, ownersKeysSQL, owner, fewKeys+1).Scan(&n); err != nil {
		return false, fmt.Errorf("estimating the keys of an owner: %w", err)
	}
	return n <= fewKeys, nil
}

func (l *listing) byOwner(owner string) {
	l.arms = []string{`SELECT k.n FROM keys k ` + l.store.engine.Using("keys_owner") +
		` WHERE k.owner = ` + l.arg(owner) + ` AND k.n < ` + beforeParameter}
}

func (l *listing) byText(text string) {
	l.filters = append(l.filters, l.store.engine.Contains("k.search", l.arg(text)))
	if l.arms != nil {
		return
	}
	from, condition, argument, ok := l.store.engine.Index.Candidates(text, fmt.Sprintf("$%d", len(l.args)+1))
	if ok {
		l.arg(argument)
		l.arms = []string{`SELECT k.n FROM ` + from + ` WHERE ` + condition + ` AND k.n < ` + beforeParameter}
	}
}

func (l *listing) byAPI(api string) {
	name := l.arg(api)
	if l.arms != nil {
		l.filters = append(l.filters, `EXISTS (SELECT 1 FROM key_apis a WHERE a.n = k.n AND a.api IN (`+name+`, '`+everyAPI+`'))`)
		return
	}
	for _, v := range []string{name, `'` + everyAPI + `'`} {
		l.arms = append(l.arms, `SELECT a.n FROM key_apis a JOIN keys k ON k.n = a.n WHERE a.api = `+v+` AND a.n < `+beforeParameter)
	}
}

func (l *listing) byStatus(status keys.Status) error {
	if l.arms != nil {
		condition, err := statusCondition(status, nowParameter)
		l.filters = append(l.filters, condition)
		return err
	}
	arms, err := statusArms(status, nowParameter)
	for _, a := range arms {
		l.arms = append(l.arms, `SELECT k.n FROM keys k `+l.store.engine.Using(a.using)+
			` WHERE `+a.condition+` AND k.n < `+beforeParameter)
	}
	return err
}
