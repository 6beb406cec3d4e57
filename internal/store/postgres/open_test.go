package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

func TestSeveralNodesOpenAnEmptyDatabaseTogether(t *testing.T) {
	for range 3 {
		address := pgtest.Database(t)
		const nodes = 8
		var all sync.WaitGroup
		for i := range nodes {
			all.Go(func() {
				s, err := Open(t.Context(), address, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				err = s.Create(t.Context(), by(), "create", []keys.New{testKey(fmt.Sprint(i))})
				if err := errors.Join(err, s.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		s := openTest(t, address, Options{})
		if counts, err := s.Counts(t.Context(), time.Now()); err != nil || counts.Active != nodes {
			t.Fatalf("counts %+v, %v", counts, err)
		}
		if last, err := s.LastSeq(t.Context()); err != nil || last != nodes {
			t.Fatalf("the last change is %d, %v", last, err)
		}
	}
}

// newer is what a later version has in its migrations.
func newer(t *testing.T, migration string) fs.FS {
	t.Helper()
	all := fstest.MapFS{"00099_later.sql": {Data: []byte("-- +goose Up\n" + migration)}}
	own, err := fs.Glob(migrations(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range own {
		text, err := fs.ReadFile(migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = &fstest.MapFile{Data: text}
	}
	return all
}

// tables returns what a database holds, as far as its tables and versions go.
func tables(t *testing.T, address string) (all string) {
	t.Helper()
	const text = `SELECT coalesce(string_agg(c.relname || ' ' || c.oid || ' ' || c.relfilenode || ' ' || coalesce(pg_stat_get_tuples_inserted(c.oid), 0), ', ' ORDER BY c.oid), '')
		FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace`
	if err := pgtest.Connect(t, address).QueryRow(t.Context(), text).Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestANewerDatabaseIsRefusedUntouched(t *testing.T) {
	address := pgtest.Database(t)
	later, err := openWith(t.Context(), address, newer(t, "CREATE TABLE later (x INTEGER);"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = later.Close() }) // nothing is lost
	create(t, later, testKey("a"))
	before := tables(t, address)
	s, err := Open(t.Context(), address, Options{})
	if !errors.Is(err, keys.ErrNewerVersion) || s != nil {
		t.Fatalf("error %v, want that the database is newer", err)
	}
	if diff := cmp.Diff(before, tables(t, address)); diff != "" {
		t.Errorf("the database was touched:\n%s", diff)
	}
	create(t, later, testKey("b"))
}

func TestAnOlderDatabaseIsMigratedWithItsKeys(t *testing.T) {
	address := pgtest.Database(t)
	s := openTest(t, address, Options{})
	k := testKey("a")
	create(t, s, k)
	later, err := openWith(t.Context(), address, newer(t, "CREATE TABLE later (x INTEGER);"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = later.Close() }) // nothing is lost
	if err := find(t, later, k.Digest); err != nil {
		t.Fatal(err)
	}
	create(t, s, testKey("b")) // the older node goes on
}

func TestAFailedMigrationLeavesTheDatabaseAsItWas(t *testing.T) {
	address := pgtest.Database(t)
	s := openTest(t, address, Options{})
	k := testKey("a")
	create(t, s, k)
	// It is tried again and again, as a server that fails might be mended.
	broken, err := openWith(t.Context(), address, newer(t, "CREATE TABLE later (x INTEGER);\nDROP TABLE keys CASCADE;\nINSERT INTO nowhere VALUES (1);"), Options{})
	if err == nil {
		err = broken.Ping(t.Context())
		_ = broken.Close() // it was never open
	}
	if err == nil {
		t.Fatal("a broken migration succeeded")
	}
	if err := find(t, openTest(t, address, Options{}), k.Digest); err != nil {
		t.Fatal(err)
	}
}

func TestMigrationsGoDownAgain(t *testing.T) {
	address := pgtest.Database(t)
	s := openTest(t, address, Options{})
	create(t, s, testKey("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() }) // nothing is lost
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations(), goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	create(t, openTest(t, address, Options{}), testKey("b"))
}

func TestADatabaseOfAnotherProgramIsRefusedUntouched(t *testing.T) {
	address := pgtest.Database(t)
	if _, err := pgtest.Connect(t, address).Exec(t.Context(), `CREATE TABLE keys (name TEXT); CREATE SCHEMA ours`); err != nil {
		t.Fatal(err)
	}
	before := tables(t, address)
	_, err := Open(t.Context(), address, Options{})
	if !errors.Is(err, errUnfit) || !strings.Contains(err.Error(), "of another program") {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff(before, tables(t, address)); diff != "" {
		t.Errorf("the database was touched:\n%s", diff)
	}
	// In a schema of its own there is room for both.
	create(t, openTest(t, address+" search_path=ours", Options{}), testKey("a"))
}

func TestWhatTheServerSaysCannotWorkIsRefused(t *testing.T) {
	address := pgtest.Database(t)
	conn := pgtest.Connect(t, address)
	latin := pgtest.Name(address) + "_latin1"
	for _, text := range []string{
		`CREATE ROLE ` + latin + ` LOGIN`, `REVOKE CREATE ON SCHEMA public FROM PUBLIC`,
		`CREATE DATABASE ` + latin + ` TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C'`,
	} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, text := range []string{`DROP DATABASE ` + latin, `DROP ROLE ` + latin} {
			if _, err := conn.Exec(context.Background(), text); err != nil {
				t.Error(err)
			}
		}
	})
	for name, c := range map[string]struct{ address, want string }{
		"no such database": {pgtest.OfDatabase(address, "no_such_database"), "does not exist"},
		"no such user":     {address + " user=nobody_at_all", "does not exist"},
		"no right":         {address + " user=" + latin, "permission denied"},
		"no such schema":   {address + " search_path=nowhere", "no schema has been selected"},
		"another encoding": {pgtest.OfDatabase(address, latin), "encoding is LATIN1; expected UTF8"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), c.address, Options{})
			if err == nil {
				_ = s.Close() // it should not be there
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestOpeningEndsWithItsContext(t *testing.T) {
	_, _, proxy, address := behind(t, pgtest.Options{})
	proxy.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := Open(ctx, address, Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error %v, want that the context's time is over", err)
	}
	if took := time.Since(began); took > soon {
		t.Errorf("it took %s", took)
	}
}

func TestAnAddressIsCheckedWithoutAServer(t *testing.T) {
	for address, want := range map[string]string{
		"postgres://u:p@h/d":                  "",
		"postgresql://h":                      "",
		"":                                    "the address is empty",
		"host=h dbname=d sslmode=verify-full": "",
		"host=a,b port=1,2 target_session_attrs=read-write":                    "",
		"host=h pool_max_conns=4":                                              "",
		"postgres://u:hush@h/d?pool_max_conns=20&sslmode=require":              "",
		"postgres://u:hush@h:port/d":                                           "expected an address such as",
		"postgres://u:hush@[::1/d":                                             "expected an address such as",
		"postgres://u:hu%zzsh@h/d":                                             "expected an address such as",
		"host=h password=hush port=0":                                          "invalid port",
		"host=h password=hush sslmode=maybe":                                   "sslmode is invalid",
		"host=h password=hush sslrootcert=/no/such/hush.pem sslmode=verify-ca": "failed to configure TLS",
		"host=h password=hush connect_timeout=soon":                            "invalid connect_timeout",
		"host=h password=hush pool_max_conns=many":                             "cannot parse pool_max_conns",
		"host=h password=hush pool_max_conns=3":                                "pool_max_conns is 3; expected 4 or more",
		"host=h password='hush":                                                "failed to parse as keyword/value",
		"nonsense hush":                                                        "failed to parse as keyword/value",
		"mysql://u:hush@h/d":                                                   "expected an address such as",
		"host=a,b port=1,2,3 password=hush":                                    "could not match",
		"host=h password=hush target_session_attrs=best":                       "unknown target_session_attrs value",
		"host=h password=hush default_query_exec_mode=fast":                    "default_query_exec_mode",
	} {
		err := Check(address, "")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
		listen := Check("host=h", address)
		if address != "" && ((listen == nil) != (want == "") && !strings.Contains(want, "pool_max_conns is")) {
			t.Errorf("listen %s: %v", address, listen)
		}
		for _, err := range []error{err, listen} {
			if err != nil && strings.Contains(strings.ReplaceAll(err.Error(), "hush.pem", ""), "hush") {
				t.Errorf("%s: the error has the password: %v", address, err)
			}
		}
	}
}

// Whatever fails, and however it is printed, there is no password in it.
func TestErrorsHaveNoPassword(t *testing.T) {
	_, direct, proxy, address := behind(t, pgtest.Options{})
	const password = "hush-hush"
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("postgres", password)
	s := openTest(t, u.String(), Options{})
	k := testKey("a")
	create(t, s, k)
	var said []error
	ask := func(s *Store) {
		_, _, listing := s.List(t.Context(), keys.Query{Now: time.Now()})
		said = append(said, find(t, s, k.Digest), s.Ping(t.Context()), listing, s.AwaitChange(t.Context(), 1),
			s.Create(t.Context(), by(), "create", []keys.New{testKey("b")}), s.Touch(t.Context(), map[keys.ID]time.Time{k.Key.ID: time.Now()}))
	}
	proxy.Refuse()
	proxy.Cut()
	ask(s)
	ask(openTest(t, u.String(), Options{})) // never connected
	for _, wrong := range []string{
		strings.Replace(u.String(), pgtest.Name(direct), "no_such_database", 1), direct + " password=" + password + " user=nobody_at_all",
	} {
		proxy.Accept(t)
		_, err := Open(t.Context(), wrong, Options{})
		if err == nil {
			t.Errorf("%s was opened", wrong)
		}
		said = append(said, err)
		proxy.Refuse()
	}
	for _, err := range said {
		if err == nil {
			t.Error("something succeeded without a server")
			continue
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			for _, form := range []string{"%v", "%+v", "%#v"} {
				if text := fmt.Sprintf(form, e); strings.Contains(text, password) {
					t.Errorf("the error has the password: %.300s", text)
				}
			}
		}
	}
}

func TestANodeOpensAsManyConnectionsAsItMay(t *testing.T) {
	for _, want := range []int{4, 5, 7, 12, 40} {
		a, err := parse(fmt.Sprintf("host=h pool_max_conns=%d", want), "")
		if err != nil {
			t.Fatal(err)
		}
		sum := 1 // that listens
		for _, u := range []use{forLookups, forAdmin, forFeed} {
			n := int(a.config(u).MaxConns)
			if n < 1 {
				t.Errorf("pool_max_conns=%d: use %d has no connection", want, u)
			}
			sum += n
		}
		if sum != want {
			t.Errorf("pool_max_conns=%d: up to %d connections", want, sum)
		}
	}
}

func TestTheServerEndsWhatTakesTooLong(t *testing.T) {
	address := pgtest.Database(t)
	s := openTest(t, address, Options{})
	settings := func(pool interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	},
	) (got [3]string) {
		for i, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
			if err := pool.QueryRow(t.Context(), `SELECT current_setting('`+name+`')`).Scan(&got[i]); err != nil {
				t.Fatal(err)
			}
		}
		return got
	}
	if diff := cmp.Diff([3]string{"3s", "10s", "30s"}, settings(s.pools.lookup)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([3]string{"2min", "10s", "30s"}, settings(s.pools.admin)); diff != "" {
		t.Error(diff)
	}
	other := openTest(t, address+" lock_timeout=700 statement_timeout=800", Options{})
	if diff := cmp.Diff([3]string{"800ms", "700ms", "30s"}, settings(other.pools.admin)); diff != "" {
		t.Error(diff)
	}
}

func TestTextThatNoDatabaseHoldsIsNotAskedFor(t *testing.T) {
	for _, bad := range []string{"\x00", "a\x00b", "\xff", "\xc3("} {
		if text(bad) != nil {
			t.Errorf("%q is asked for", bad)
		}
	}
	for _, good := range []string{"", "a", "\ufffd", "🔑", strings.Repeat("長", 1000)} {
		if text(good) != good {
			t.Errorf("%q is not asked for", good)
		}
	}
}
