package sqlstore

import (
	"fmt"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// filter is one thing that a list asks of its keys.
type filter struct {
	// condition says it of keys k that were found in another way.
	condition func(st *statement) string
	// arms are selects of the numbers (n) of the keys that pass, below
	// before, each from an index that has them newest first; together they
	// give each key once. nil where no index of the database helps.
	arms func(st *statement, before string) []string
	// wanted is what the index of terms knows of it; nil for nothing.
	wanted []wanted
}

// everyKey is where keys come from if no filter has an index.
var everyKey = &filter{arms: func(_ *statement, before string) []string {
	return []string{`SELECT k.n FROM keys k WHERE k.n < ` + before}
}}

// filters returns what the query asks for.
func (s *Store) filters(q keys.Query) ([]*filter, error) {
	var all []*filter
	if q.Text != "" {
		all = append(all, s.byText(Fold(q.Text)))
	}
	if q.Owner != nil {
		all = append(all, s.byOwner(*q.Owner))
	}
	if q.API != "" {
		all = append(all, s.byAPI(q.API))
	}
	if q.Status == "" {
		return all, nil
	}
	status, err := s.byStatus(q.Status, milli(q.Now))
	if err != nil {
		return nil, err
	}
	return append(all, status), nil
}

func (s *Store) byText(text string) *filter {
	return &filter{
		condition: func(st *statement) string { return s.engine.Contains("k.search", st.arg(s.engine.Text(text))) },
		wanted:    wantedText(text),
	}
}

func (s *Store) byOwner(owner string) *filter {
	return &filter{
		condition: func(st *statement) string { return s.engine.Owned("k.owner", st.arg(s.engine.Text(owner))) },
		arms: func(st *statement, before string) []string {
			return []string{`SELECT k.n FROM keys k ` + s.engine.Using("keys_owner") +
				` WHERE ` + s.engine.Owned("k.owner", st.arg(s.engine.Text(owner))) + ` AND k.n < ` + before}
		},
		wanted: []wanted{{ownerTerm(Fold(owner))}},
	}
}

// byAPI joins keys in its arms only for other filters; where there are none
// it costs little.
func (s *Store) byAPI(api string) *filter {
	return &filter{
		condition: func(st *statement) string {
			return `EXISTS (SELECT 1 FROM key_apis a WHERE a.n = k.n AND a.api IN (` + st.arg(s.engine.Text(api)) + `, '` + everyAPI + `'))`
		},
		arms: func(st *statement, before string) []string {
			const arm = `SELECT a.n FROM key_apis a JOIN keys k ON k.n = a.n WHERE a.api = `
			return []string{arm + st.arg(s.engine.Text(api)) + ` AND a.n < ` + before, arm + `'` + everyAPI + `' AND a.n < ` + before}
		},
		wanted: []wanted{{apiTerm(api), apiTerm(everyAPI)}},
	}
}

// byStatus looks where the standing says that the keys are, and among those
// whose standing is behind or ahead of now.
func (s *Store) byStatus(status keys.Status, now int64) (*filter, error) {
	var condition, noted, unnoted string
	switch status {
	case keys.Active:
		condition = `k.standing <> 2 AND (k.expires_at IS NULL OR k.expires_at > NOW)`
		noted = `k.standing = 0 AND (k.expires_at IS NULL OR k.expires_at > NOW)`
		unnoted = `k.standing = 1 AND k.expires_at > NOW`
	case keys.Expired:
		condition = `k.standing <> 2 AND k.expires_at <= NOW`
		noted = `k.standing = 1 AND k.expires_at <= NOW`
		unnoted = `k.standing = 0 AND k.expires_at <= NOW`
	case keys.Disabled:
		condition, noted = `k.standing = 2`, `k.standing = 2`
	default:
		return nil, fmt.Errorf("no key has the status %q", status)
	}
	at := func(st *statement, text string) string {
		if !strings.Contains(text, "NOW") {
			return text
		}
		return strings.ReplaceAll(text, "NOW", st.arg(now))
	}
	return &filter{
		condition: func(st *statement) string { return at(st, condition) },
		arms: func(st *statement, before string) []string {
			arms := []string{`SELECT k.n FROM keys k ` + s.engine.Using("keys_standing") + ` WHERE ` + at(st, noted) + ` AND k.n < ` + before}
			if unnoted != "" {
				arms = append(arms, `SELECT `+s.engine.Few("k.n")+` FROM keys k `+s.engine.Using("keys_expiry")+` WHERE `+at(st, unnoted)+` AND k.n < `+before)
			}
			return arms
		},
	}, nil
}
