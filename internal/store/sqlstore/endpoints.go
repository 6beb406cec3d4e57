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
	endpointsSQL = `SELECT api, id, title FROM endpoints ORDER BY api, id`
	endpointSQL  = `SELECT api, id, title FROM endpoints WHERE api = $1 AND id = $2`
	// One statement for both cases: the row is the same either way.
	putEndpointSQL    = `INSERT INTO endpoints (api, id, title) VALUES ($1, $2, $3) ON CONFLICT (api, id) DO UPDATE SET title = excluded.title`
	deleteEndpointSQL = `DELETE FROM endpoints WHERE api = $1 AND id = $2`
)

// Endpoints implements keys.Store.
func (s *Store) Endpoints(ctx context.Context) (all []keys.Endpoint, err error) {
	rows, err := s.engine.Read.QueryContext(ctx, endpointsSQL)
	if err != nil {
		return nil, fmt.Errorf("listing endpoints: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var e keys.Endpoint
		if err := rows.Scan(&e.API, &e.ID, &e.Title); err != nil {
			return nil, fmt.Errorf("listing endpoints: %w", err)
		}
		all = append(all, e)
	}
	return all, nil
}

// PutEndpoint implements keys.Store. What is registered already, with the
// same title, is no change.
func (s *Store) PutEndpoint(ctx context.Context, by keys.By, e keys.Endpoint) error {
	return s.inChange(ctx, by, func(c *change) error {
		before, err := c.endpoint(ctx, e.API, e.ID)
		if err != nil {
			return err
		}
		if before != nil && *before == e {
			return errUnchanged
		}
		if _, err := c.ExecContext(ctx, putEndpointSQL, e.API, e.ID, e.Title); err != nil {
			return fmt.Errorf("registering endpoint: %w", err)
		}
		return c.auditEndpoint(ctx, "put_endpoint", before, &e)
	})
}

// DeleteEndpoint implements keys.Store.
func (s *Store) DeleteEndpoint(ctx context.Context, by keys.By, api, id string) error {
	return s.inChange(ctx, by, func(c *change) error {
		before, err := c.endpoint(ctx, api, id)
		if err != nil {
			return err
		}
		if before == nil {
			return keys.ErrNoSuchKey
		}
		if _, err := c.ExecContext(ctx, deleteEndpointSQL, api, id); err != nil {
			return fmt.Errorf("deleting endpoint: %w", err)
		}
		return c.auditEndpoint(ctx, "delete_endpoint", before, nil)
	})
}

// endpoint returns nil if there is none.
func (c *change) endpoint(ctx context.Context, api, id string) (*keys.Endpoint, error) {
	var e keys.Endpoint
	err := c.QueryRowContext(ctx, endpointSQL, c.store.engine.Text(api), c.store.engine.Text(id)).Scan(&e.API, &e.ID, &e.Title)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading endpoint: %w", err)
	}
	return &e, nil
}

func (c *change) auditEndpoint(ctx context.Context, action string, before, after *keys.Endpoint) (err error) {
	entry := auditRow{action: action}
	if entry.before, err = endpointJSON(before); err != nil {
		return err
	}
	if entry.after, err = endpointJSON(after); err != nil {
		return err
	}
	return c.audit(ctx, entry)
}

func endpointJSON(e *keys.Endpoint) (json.RawMessage, error) {
	if e == nil {
		return nil, nil
	}
	text, err := json.Marshal(map[string]string{"api": e.API, "id": e.ID, "title": e.Title})
	if err != nil {
		return nil, fmt.Errorf("writing endpoint for the audit: %w", err)
	}
	return text, nil
}
