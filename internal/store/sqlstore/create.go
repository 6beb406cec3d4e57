package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

var (
	keyColumnTypes = []Column{
		{"n", Integer},
		{"id", String},
		{"name", String},
		{"owner", String},
		{"prefix", String},
		{"search", String},
		{"permissions", String},
		{"admin", String},
		{"standing", Integer},
		{"legacy", Integer},
		{"expires_at", Integer},
		{"created_at", Integer},
		{"updated_at", Integer},
		{"created_by", String},
		{"last_used_at", Integer},
		{"metadata", String},
		{"sources", String},
		{"version", Integer},
	}
	secretColumns = []Column{{"digest", Bytes}, {"key_n", Integer}, {"prefix", String}, {"is_foreign", Integer}}
	apiColumns    = []Column{{"n", Integer}, {"api", String}}
)

const anyAdminSQL = `SELECT EXISTS (SELECT 1 FROM keys WHERE admin = 'write')`

// Create implements keys.Store.
func (s *Store) Create(ctx context.Context, by keys.By, action string, ks []keys.New) error {
	if len(ks) == 0 {
		return nil
	}
	return s.inChange(ctx, by, func(c *change) error { return c.create(ctx, action, ks) })
}

// CreateFirstAdmin implements keys.Store.
func (s *Store) CreateFirstAdmin(ctx context.Context, by keys.By, k keys.New) (bool, error) {
	created := false
	err := s.inChange(ctx, by, func(c *change) error {
		var found bool
		if err := c.QueryRowContext(ctx, anyAdminSQL).Scan(&found); err != nil {
			return fmt.Errorf("looking for an admin key: %w", err)
		}
		if found {
			return errUnchanged
		}
		created = true
		return c.create(ctx, "bootstrap", []keys.New{k})
	})
	return created && err == nil, err
}

// creation is what new keys become: rows of each table.
type creation struct {
	keys, secrets, apis Rows
	entries             []entry
	audit               []auditRow
}

func (c *change) create(ctx context.Context, action string, ks []keys.New) error {
	first, err := c.store.engine.Numbers(ctx, c.Tx, len(ks))
	if err != nil {
		return fmt.Errorf("numbering new keys: %w", err)
	}
	all := creation{
		keys: NewRows("keys", keyColumnTypes, len(ks)), secrets: NewRows("secrets", secretColumns, len(ks)), apis: NewRows("key_apis", apiColumns, len(ks)),
		entries: make([]entry, 0, len(ks)), audit: make([]auditRow, 0, len(ks)),
	}
	c.fed.Digests = make([]keys.Digest, 0, len(ks))
	for i := range ks {
		if err := all.add(first+int64(i), &ks[i], action, c.at); err != nil {
			return err
		}
		c.fed.Digests = append(c.fed.Digests, ks[i].Digest)
		c.fed.Foreign = c.fed.Foreign || ks[i].Foreign
	}
	if err := c.insert(ctx, all.keys); err != nil {
		return fmt.Errorf("creating keys: %w", err)
	}
	if err := c.insertSecrets(ctx, all.secrets, first); err != nil {
		return err
	}
	if err := c.insert(ctx, all.apis); err != nil {
		return err
	}
	if err := c.index().put(ctx, all.entries); err != nil {
		return err
	}
	return c.audit(ctx, all.audit...)
}

// add adds the rows of the key with the number n, created at a time.
func (all *creation) add(n int64, created *keys.New, action string, at int64) error {
	k := &created.Key
	permissions, err := json.Marshal(k.Permissions)
	if err != nil {
		return fmt.Errorf("writing permissions: %w", err)
	}
	metadata, err := metadataText(k.Metadata)
	if err != nil {
		return err
	}
	after, err := wireWith(k, permissions)
	if err != nil {
		return err
	}
	text := searchText(k)
	all.keys.Add(n, string(k.ID), k.Name, k.Owner, k.Prefix, text, string(permissions),
		k.Admin.String(), standingAt(k, at), integer(k.Legacy), orNil(optionalMilli(k.ExpiresAt)), milli(k.CreatedAt), milli(k.UpdatedAt),
		string(k.CreatedBy), orNil(optionalMilli(k.LastUsedAt)), metadata, k.Sources.String(), int64(1))
	all.secrets.Add(created.Digest[:], n, k.Prefix, integer(created.Foreign))
	apis := openAPIs(k)
	for _, api := range apis {
		all.apis.Add(n, api)
	}
	all.entries = append(all.entries, termsOf(n, text, apis))
	all.audit = append(all.audit, auditRow{action, k.ID, nil, after})
	return nil
}

func orNil(n sql.NullInt64) any {
	if !n.Valid {
		return nil
	}
	return n.Int64
}

func metadataText(metadata map[string]string) (string, error) {
	if len(metadata) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(metadata)
	if err != nil {
		return "", fmt.Errorf("writing metadata: %w", err)
	}
	return string(text), nil
}

// insertSecrets stores the digests of keys that are numbered from first on.
func (c *change) insertSecrets(ctx context.Context, rows Rows, first int64) error {
	written, err := c.store.engine.Insert(ctx, c.Tx, rows)
	if err != nil {
		return fmt.Errorf("storing the digests of secrets: %w", err)
	}
	if written == int64(len(rows.Values)) {
		return nil
	}
	index, err := c.firstWithoutSecret(ctx, first, len(rows.Values))
	if err != nil {
		return fmt.Errorf("finding out which secret is known: %w", err)
	}
	return &keys.KnownSecretError{Index: index}
}

const numbersOfSecretsSQL = `SELECT key_n FROM secrets WHERE key_n >= $1`

// firstWithoutSecret returns which of count new keys is the first without a
// secret: its secret is another key's. No numbers are higher than theirs.
func (c *change) firstWithoutSecret(ctx context.Context, first int64, count int) (index int, err error) {
	rows, err := c.QueryContext(ctx, numbersOfSecretsSQL, first)
	if err != nil {
		return 0, err
	}
	defer closeRows(rows, &err)
	stored := make([]bool, count)
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
		stored[n-first] = true
	}
	for index < count-1 && stored[index] {
		index++
	}
	return index, nil
}

// everyAPI stands in key_apis for a key that has access to all APIs, those
// not declared yet included. It can't be an API's name.
const everyAPI = "*"

// openAPIs returns the APIs to which the key has any access.
func openAPIs(k *keys.Key) []string {
	if k.Permissions.Any(everyAPI) {
		return []string{everyAPI}
	}
	var apis []string
	for _, g := range k.Permissions.APIs {
		if k.Permissions.Any(g.API) {
			apis = append(apis, g.API)
		}
	}
	return apis
}
