package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// row is a key as stored, with its number: keys are numbered in the order of
// their creation, and lists go by that number. Times of creation come from
// the clocks of several nodes; they tie and go backwards.
type row struct {
	n   int64
	key *keys.Key
}

// A key has at most one secret that ends, as a rotation ends an earlier grace.
const (
	keyColumns = `k.n, k.id, k.name, k.owner, k.prefix, k.permissions, k.admin, k.standing, k.legacy,
		k.expires_at, k.created_at, k.updated_at, k.created_by, k.last_used_at, k.metadata, k.sources, k.version,
		p.prefix, p.ends_at`
)

// previousSecret joins the secret that is in its grace at the time that now,
// a parameter, stands for.
func previousSecret(now string) string {
	return `LEFT JOIN secrets p ON p.key_n = k.n AND p.ends_at > ` + now
}

type scanner interface{ Scan(dest ...any) error }

// scanKey reads keyColumns.
func scanKey(from scanner) (row, error) {
	var (
		k                            keys.Key
		n, standing, legacy          int64
		permissions, admin, metadata string
		sources                      string
		expires, lastUsed, prevEnds  sql.NullInt64
		created, updated             int64
		prevPrefix                   sql.NullString
	)
	err := from.Scan(&n, &k.ID, &k.Name, &k.Owner, &k.Prefix, &permissions, &admin, &standing, &legacy,
		&expires, &created, &updated, &k.CreatedBy, &lastUsed, &metadata, &sources, &k.Version,
		&prevPrefix, &prevEnds)
	if err != nil {
		return row{}, err
	}
	k.Enabled, k.Legacy = standing != standingOff, legacy != 0
	k.ExpiresAt, k.LastUsedAt = fromOptionalMilli(expires), fromOptionalMilli(lastUsed)
	k.CreatedAt, k.UpdatedAt = fromMilli(created), fromMilli(updated)
	if prevEnds.Valid {
		k.Rotation = &keys.Rotation{PreviousPrefix: prevPrefix.String, PreviousExpiresAt: fromMilli(prevEnds.Int64)}
	}
	if err := k.Admin.UnmarshalText([]byte(admin)); err != nil {
		return row{}, fmt.Errorf("reading key %s: %w", k.ID, err)
	}
	if err := json.Unmarshal([]byte(permissions), &k.Permissions); err != nil {
		return row{}, fmt.Errorf("reading key %s: %w", k.ID, err)
	}
	if err := json.Unmarshal([]byte(metadata), &k.Metadata); err != nil {
		return row{}, fmt.Errorf("reading metadata of key %s: %w", k.ID, err)
	}
	if k.Sources, err = readSources(sources); err != nil {
		return row{}, fmt.Errorf("reading key %s: %w", k.ID, err)
	}
	return row{n, &k}, nil
}

// readSources reads what Sources.String wrote. A text that can't be read is a
// fault of the store, and never a key without limits.
func readSources(text string) (keys.Sources, error) {
	if text == "" {
		return "", nil
	}
	sources, faults := keys.ParseSources(strings.Fields(text))
	for _, err := range faults {
		return "", fmt.Errorf("reading the networks that it is limited to: %w", err)
	}
	return sources, nil
}

var getSQL = `SELECT ` + keyColumns + ` FROM keys k ` + previousSecret("$1") + ` WHERE k.id = $2`

// Get implements keys.Store.
func (s *Store) Get(ctx context.Context, id keys.ID, now time.Time) (*keys.Key, error) {
	r, err := s.get(ctx, s.engine.Read, id, milli(now))
	return r.key, err
}

// querier is a database, or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s *Store) get(ctx context.Context, from querier, id keys.ID, now int64) (row, error) {
	r, err := scanKey(from.QueryRowContext(ctx, getSQL, now, s.engine.Text(string(id))))
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, keys.ErrNoSuchKey
	}
	if err != nil {
		return row{}, fmt.Errorf("getting key: %w", err)
	}
	return r, nil
}

// keyJSON is the contract's shape of a key, as far as the audit shows it:
// what people decide, without what the store counts or what time derives.
type keyJSON struct {
	ID          keys.ID           `json:"id"`
	Name        string            `json:"name"`
	Owner       string            `json:"owner"`
	Prefix      string            `json:"prefix"`
	Permissions json.RawMessage   `json:"permissions"`
	Admin       string            `json:"admin"`
	Enabled     bool              `json:"enabled"`
	Legacy      bool              `json:"legacy"`
	ExpiresAt   *time.Time        `json:"expires_at"`
	CreatedAt   time.Time         `json:"created_at"`
	CreatedBy   keys.ID           `json:"created_by"`
	Metadata    map[string]string `json:"metadata"`
	Sources     []string          `json:"allowed_cidrs"`
}

// wire returns the contract's shape of a stored key.
func wire(k *keys.Key) (json.RawMessage, error) {
	permissions, err := json.Marshal(k.Permissions)
	if err != nil {
		return nil, fmt.Errorf("writing permissions: %w", err)
	}
	return wireWith(k, permissions)
}

// wireWith is wire for who has written the permissions already.
func wireWith(k *keys.Key, permissions json.RawMessage) (json.RawMessage, error) {
	out := keyJSON{
		ID: k.ID, Name: k.Name, Owner: k.Owner, Prefix: k.Prefix, Permissions: permissions, Admin: k.Admin.String(),
		Enabled: k.Enabled, Legacy: k.Legacy, CreatedAt: k.CreatedAt.UTC(), CreatedBy: k.CreatedBy, Metadata: k.Metadata,
		Sources: k.Sources.Strings(),
	}
	if out.Metadata == nil {
		out.Metadata = map[string]string{}
	}
	if !k.ExpiresAt.IsZero() {
		at := k.ExpiresAt.UTC()
		out.ExpiresAt = &at
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("writing key for the audit: %w", err)
	}
	return text, nil
}
