// Package pgtest starts a throw-away Postgres for tests, and breaks it as
// tests ask. It knows nothing of what is kept in it.
//
// Where TEST_POSTGRES_DSN is set, databases are made on that server. Else, and
// for tests that stop or kill a server, the programs of Postgres must be
// installed: make deps does that. A server listens on a unix socket alone, in
// a folder of its own, and both go with the test process, however it ends.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long anything of a server may take.
const patience = time.Minute

// shared is the server of this test binary, started by the first test that
// needs one. It ends with the process.
var shared = sync.OnceValues(func() (*Server, error) { return newServer(Options{MaxConnections: 400}) })

// Database makes an empty database for one test, and returns its address.
func Database(t testing.TB) string {
	t.Helper()
	if address := os.Getenv("TEST_POSTGRES_DSN"); address != "" {
		return database(t, address)
	}
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s.Database(t)
}

// Database makes an empty database on the server, and returns its address.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	return database(t, s.Address("postgres"))
}

var databases atomic.Int64

func newName() string {
	return fmt.Sprintf("keywarden_test_%d_%d_%d", os.Getpid(), time.Now().UnixNano(), databases.Add(1))
}

func database(t testing.TB, address string) string {
	t.Helper()
	name := newName()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := execute(ctx, address, `CREATE DATABASE `+name); err != nil {
		t.Fatalf("making a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		// The test may have stopped the server for good.
		_ = execute(ctx, address, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`)
	})
	return OfDatabase(address, name)
}

func execute(ctx context.Context, address, text string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, text)
	return err
}

// OfDatabase returns the address of another database of the same server.
func OfDatabase(address, name string) string {
	if u, err := url.Parse(address); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		u.Path = "/" + name
		return u.String()
	}
	return address + " dbname=" + name // of two, the last counts
}

// Name returns the name of an address' database.
func Name(address string) string {
	if u, err := url.Parse(address); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		return strings.TrimPrefix(u.Path, "/")
	}
	return address[strings.LastIndex(address, "=")+1:] // where OfDatabase wrote it
}

// Connect returns a connection to the database, without our code.
func Connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server may be gone
	return conn
}

// lasting is a server of this test binary whose commits wait for the disk.
var lasting = sync.OnceValues(func() (*Server, error) {
	return newServer(Options{Durable: true, Settings: []string{"shared_buffers=512MB", "max_wal_size=4GB"}})
})

// Lasting makes an empty database, for benchmarks, on a server that is set up
// as one of an operator would be: its commits wait for the disk. The database
// stays until the test binary ends.
func Lasting(t testing.TB) string {
	t.Helper()
	s, err := lasting()
	if err != nil {
		t.Fatal(err)
	}
	name := newName()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := execute(ctx, s.Address("postgres"), `CREATE DATABASE `+name); err != nil {
		t.Fatalf("making a database: %v", err)
	}
	return s.Address(name)
}
