package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	insertKeySQL = `INSERT INTO keys (id, name, owner, prefix, search, permissions, admin, standing, legacy,
			expires_at, created_at, updated_at, created_by, last_used_at, metadata, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1) RETURNING n`
	insertSecretSQL = `INSERT INTO secrets (digest, key_n, prefix, is_foreign) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	insertAPISQL    = `INSERT INTO key_apis (n, api) VALUES ($1, $2)`
	anyAdminSQL     = `SELECT EXISTS (SELECT 1 FROM keys WHERE admin = 'write')`
)

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

// inserts are the statements of a creation, prepared once for all its keys.
type inserts struct{ key, secret, api, audit *sql.Stmt }

func (c *change) create(ctx context.Context, action string, ks []keys.New) (err error) {
	var in inserts
	for _, p := range []struct {
		to   **sql.Stmt
		text string
	}{{&in.key, insertKeySQL}, {&in.secret, insertSecretSQL}, {&in.api, insertAPISQL}, {&in.audit, insertAuditSQL}} {
		if *p.to, err = c.PrepareContext(ctx, p.text); err != nil {
			return fmt.Errorf("preparing to create keys: %w", err)
		}
		defer func(stmt *sql.Stmt) { err = errors.Join(err, stmt.Close()) }(*p.to)
	}
	c.fed.Digests = make([]keys.Digest, 0, len(ks))
	for i := range ks {
		if err := c.createOne(ctx, in, action, i, &ks[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) createOne(ctx context.Context, in inserts, action string, i int, k *keys.New) error {
	n, err := c.insertKey(ctx, in, &k.Key)
	if err != nil {
		return fmt.Errorf("creating key: %w", err)
	}
	done, err := in.secret.ExecContext(ctx, k.Digest[:], n, k.Key.Prefix, integer(k.Foreign))
	if err != nil {
		return fmt.Errorf("storing the digest of a secret: %w", err)
	}
	stored, err := done.RowsAffected()
	if err != nil {
		return fmt.Errorf("storing the digest of a secret: %w", err)
	}
	if stored == 0 {
		return &keys.KnownSecretError{Index: i}
	}
	for _, api := range openAPIs(&k.Key) {
		if _, err := in.api.ExecContext(ctx, n, api); err != nil {
			return fmt.Errorf("storing the APIs of a key: %w", err)
		}
	}
	after, err := wire(&k.Key)
	if err != nil {
		return err
	}
	c.fed.Digests = append(c.fed.Digests, k.Digest)
	c.fed.Foreign = c.fed.Foreign || k.Foreign
	return c.audit(ctx, in.audit, auditRow{action, k.Key.ID, nil, after})
}

func (c *change) insertKey(ctx context.Context, in inserts, k *keys.Key) (n int64, err error) {
	permissions, err := json.Marshal(k.Permissions)
	if err != nil {
		return 0, err
	}
	metadata, err := metadataText(k.Metadata)
	if err != nil {
		return 0, err
	}
	text := searchText(k)
	err = in.key.QueryRowContext(ctx,
		string(k.ID), k.Name, k.Owner, k.Prefix, text, string(permissions), k.Admin.String(), standing(k.Enabled), integer(k.Legacy),
		optionalMilli(k.ExpiresAt), milli(k.CreatedAt), milli(k.UpdatedAt), string(k.CreatedBy), optionalMilli(k.LastUsedAt), metadata).Scan(&n)
	if err != nil {
		return 0, err
	}
	return n, c.store.engine.Index.Put(ctx, c.Tx, n, text)
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
