package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

func tryConnect(ctx context.Context, address string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, address)
}

// makeDatabase makes a database of a given name, also where only reading is
// allowed unless one asks.
func makeDatabase(t testing.TB, server *pgtest.Server, name string) error {
	t.Helper()
	conn := pgtest.Connect(t, server.Address("postgres")+" default_transaction_read_only=off")
	_, err := conn.Exec(t.Context(), `CREATE DATABASE `+name)
	return err
}
