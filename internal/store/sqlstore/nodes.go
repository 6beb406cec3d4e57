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

// The database's clock stands where NOW does: nodes' own clocks differ, and
// all of them must agree on who is live.
const (
	putNodeSQL = `INSERT INTO nodes (id, name, version, started_at, seen_at, lease_ms, keeps_ms, applied, skew_ms, apis)
		VALUES ($1, $2, $3, $4, NOW, $5, $6, $7, $8, $9)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, started_at = excluded.started_at,
			seen_at = excluded.seen_at, lease_ms = excluded.lease_ms, keeps_ms = excluded.keeps_ms,
			applied = excluded.applied, skew_ms = excluded.skew_ms, apis = excluded.apis
		RETURNING seen_at`
	beatSQL       = `UPDATE nodes SET seen_at = NOW, applied = $1, skew_ms = $2 WHERE id = $3 RETURNING seen_at`
	dropNodeSQL   = `DELETE FROM nodes WHERE id = $1`
	goneSQL       = `seen_at + lease_ms + keeps_ms <= NOW`
	pruneNodesSQL = `DELETE FROM nodes WHERE ` + goneSQL
	// One statement, so that no node seems to be ahead of the last change.
	nodesSQL = `SELECT t.seq, NOW, n.id, n.name, n.version, n.started_at, n.seen_at, n.lease_ms, n.keeps_ms, n.applied, n.skew_ms
		FROM counters t LEFT JOIN nodes n ON NOT (` + goneSQL + `) ORDER BY n.started_at, n.id`
	declaredSQL = `SELECT apis FROM nodes WHERE id <> $1 AND apis <> '[]' AND NOT (` + goneSQL + `) ORDER BY started_at, id`
)

// PutNode implements keys.Store.
func (s *Store) PutNode(ctx context.Context, n keys.Node, apis []keys.Declared) (time.Time, error) {
	if apis == nil {
		apis = []keys.Declared{}
	}
	declared, err := json.Marshal(apis)
	if err != nil {
		return time.Time{}, fmt.Errorf("writing the APIs of a node: %w", err)
	}
	return s.pulse(ctx, putNodeSQL, n.ID, n.Name, n.Version, milli(n.StartedAt), n.Lease.Milliseconds(), n.Keeps.Milliseconds(),
		int64(n.Applied), n.Skew.Milliseconds(), string(declared))
}

// Beat implements keys.Store.
func (s *Store) Beat(ctx context.Context, id string, p keys.Pulse) (time.Time, error) {
	return s.pulse(ctx, beatSQL, int64(p.Applied), p.Skew.Milliseconds(), id)
}

// pulse runs a statement that returns when the node was seen.
func (s *Store) pulse(ctx context.Context, text string, args ...any) (time.Time, error) {
	var seen int64
	err := s.note(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, s.atNow(text), args...).Scan(&seen)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, keys.ErrNoSuchNode
	case err != nil:
		return time.Time{}, fmt.Errorf("writing down that a node is there: %w", err)
	}
	return fromMilli(seen), nil
}

// DropNode implements keys.Store.
func (s *Store) DropNode(ctx context.Context, id string) error {
	return s.forgetNodes(ctx, dropNodeSQL, id)
}

// PruneNodes implements keys.Store.
func (s *Store) PruneNodes(ctx context.Context) error {
	return s.forgetNodes(ctx, pruneNodesSQL)
}

func (s *Store) forgetNodes(ctx context.Context, text string, args ...any) error {
	err := s.note(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, s.atNow(text), args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting nodes: %w", err)
	}
	return nil
}

// note runs do in a transaction that may be lost with the power.
func (s *Store) note(ctx context.Context, do func(*sql.Tx) error) error {
	if s.engine.Note != nil {
		return s.engine.Note(ctx, do)
	}
	tx, err := s.engine.Begin(ctx)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		_ = tx.Rollback() // the first error is the one that matters
		return err
	}
	return tx.Commit()
}

// Nodes implements keys.Store.
func (s *Store) Nodes(ctx context.Context) (nodes []keys.Node, last keys.Seq, err error) {
	rows, err := s.engine.Read.QueryContext(ctx, s.atNow(nodesSQL))
	if err != nil {
		return nil, 0, fmt.Errorf("listing nodes: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var n *keys.Node
		if last, n, err = scanNode(rows); err != nil {
			return nil, 0, fmt.Errorf("listing nodes: %w", err)
		}
		if n != nil {
			nodes = append(nodes, *n)
		}
	}
	return nodes, last, nil
}

// scanNode returns nil for the row that stands for no node at all.
func scanNode(from scanner) (last keys.Seq, n *keys.Node, err error) {
	var (
		now                                           int64
		id, name, version                             sql.NullString
		started, seen, lease, keeps, applied, skewing sql.NullInt64
	)
	err = from.Scan(&last, &now, &id, &name, &version, &started, &seen, &lease, &keeps, &applied, &skewing)
	if err != nil || !id.Valid {
		return last, nil, err
	}
	return last, &keys.Node{
		ID: id.String, Name: name.String, Version: version.String,
		StartedAt: fromMilli(started.Int64), SeenAt: fromMilli(seen.Int64), Silence: duration(max(0, now-seen.Int64)),
		Lease: duration(lease.Int64), Keeps: duration(keeps.Int64), Applied: keys.Seq(applied.Int64), Skew: duration(skewing.Int64),
	}, nil
}

// atNow puts the database's clock into a statement.
func (s *Store) atNow(text string) string { return strings.ReplaceAll(text, "NOW", s.engine.Now) }

func duration(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// Declared implements keys.Store.
func (s *Store) Declared(ctx context.Context, without string) (all []keys.Declared, err error) {
	rows, err := s.engine.Read.QueryContext(ctx, s.atNow(declaredSQL), without)
	if err != nil {
		return nil, fmt.Errorf("listing the APIs of other nodes: %w", err)
	}
	defer closeRows(rows, &err)
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("listing the APIs of other nodes: %w", err)
		}
		var some []keys.Declared
		if err := json.Unmarshal([]byte(text), &some); err != nil {
			return nil, fmt.Errorf("reading the APIs of another node: %w", err)
		}
		all = append(all, some...)
	}
	return all, nil
}
