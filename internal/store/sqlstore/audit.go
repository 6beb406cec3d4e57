package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// auditRow is what a change says for the audit; who, where and when it was is
// in the change.
type auditRow struct {
	action        string
	key           keys.ID
	before, after json.RawMessage
}

var auditColumns = []Column{{"at", Integer}, {"actor", String}, {"action", String}, {"key_id", String}, {"ip", String}, {"before", String}, {"after", String}}

func (c *change) audit(ctx context.Context, entries ...auditRow) error {
	rows := NewRows("audit", auditColumns, len(entries))
	for _, e := range entries {
		rows.Add(c.at, string(c.by.Actor), e.action, string(e.key), c.by.IP, optionalJSON(e.before), optionalJSON(e.after))
	}
	if err := c.insert(ctx, rows); err != nil {
		return fmt.Errorf("writing the audit: %w", err)
	}
	return nil
}

// optionalJSON stores no JSON as NULL.
func optionalJSON(text json.RawMessage) any {
	if text == nil {
		return nil
	}
	return string(text)
}

// auditID makes an id that sorts by the order of the entries.
func auditID(n int64) string { return fmt.Sprintf("aud_%016d", n) }

// Audit implements keys.Store.
func (s *Store) Audit(ctx context.Context, q keys.AuditQuery) (page []keys.AuditEntry, next string, err error) {
	before, err := parseCursor(auditList, q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := pageSize(q.Limit)
	text, args := s.auditSQL(q, before, limit)
	rows, err := s.engine.Read.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, "", fmt.Errorf("reading the audit: %w", err)
	}
	defer closeRows(rows, &err)
	var last int64
	for rows.Next() {
		if len(page) == limit {
			return page, cursor(auditList, last), nil
		}
		var entry keys.AuditEntry
		if last, entry, err = scanAudit(rows); err != nil {
			return nil, "", fmt.Errorf("reading the audit: %w", err)
		}
		page = append(page, entry)
	}
	return page, "", nil
}

// auditSQL asks for one entry more than the page has, which tells whether
// there is a next page.
func (s *Store) auditSQL(q keys.AuditQuery, before int64, limit int) (string, []any) {
	conditions, args := []string{"n < $1"}, []any{before, limit + 1}
	for _, c := range []struct {
		column string
		value  keys.ID
	}{{"key_id", q.Key}, {"actor", q.Actor}} {
		if c.value != "" {
			args = append(args, s.engine.Text(string(c.value)))
			conditions = append(conditions, fmt.Sprintf("%s = $%d", c.column, len(args)))
		}
	}
	return `SELECT n, at, actor, action, key_id, ip, before, after FROM audit WHERE ` +
		strings.Join(conditions, " AND ") + ` ORDER BY n DESC LIMIT $2`, args
}

func scanAudit(from scanner) (n int64, e keys.AuditEntry, err error) {
	var (
		at            int64
		before, after sql.NullString
	)
	if err := from.Scan(&n, &at, &e.Actor, &e.Action, &e.Key, &e.IP, &before, &after); err != nil {
		return 0, keys.AuditEntry{}, err
	}
	e.ID, e.At = auditID(n), fromMilli(at)
	e.Before, e.After = rawJSON(before), rawJSON(after)
	return n, e, nil
}

func rawJSON(text sql.NullString) json.RawMessage {
	if !text.Valid {
		return nil
	}
	return json.RawMessage(text.String)
}
