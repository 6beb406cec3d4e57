package sqlite

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// A process that writes in a loop is killed, again and again, at arbitrary
// moments: while it creates the tables, too. Whatever it had acknowledged is
// there, and the file is whole.
func TestKillLosesNoAcknowledgedChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	acknowledged := map[keys.ID][]string{}
	for round := range 20 {
		p := startProcess(t, "write", path)
		// The first rounds die while they open, later ones while they write.
		if round < 5 {
			kill(t, p, time.Duration(round*4)*time.Millisecond)
		}
		for n := 0; p.lines.Scan(); n++ {
			action, id, ok := strings.Cut(p.lines.Text(), " ")
			if !ok {
				t.Fatalf("half a line: %q", p.lines.Text())
			}
			acknowledged[keys.ID(id)] = append(acknowledged[keys.ID(id)], action)
			if n == round*3 {
				kill(t, p, 0)
			}
		}
		_ = p.Wait() // killed
	}
	checkAcknowledged(t, path, acknowledged)
	checkIntegrity(t, path)
}

func kill(t *testing.T, p *process, after time.Duration) {
	t.Helper()
	<-time.After(after) // any moment will do
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}

func checkAcknowledged(t *testing.T, path string, acknowledged map[keys.ID][]string) {
	t.Helper()
	if len(acknowledged) < 20 {
		t.Fatalf("only %d keys were acknowledged", len(acknowledged))
	}
	s := openTest(t, path, keys.Options{})
	for id, actions := range acknowledged {
		k, err := s.Get(t.Context(), id, time.Now())
		for _, action := range actions {
			var holds bool
			switch action {
			case "deleted":
				holds = err != nil
			case "created":
				holds = err == nil
			case "disabled":
				holds = err == nil && !k.Enabled
			case "rotated":
				holds = err == nil && k.Prefix == "kw_rotated" && k.Rotation != nil
			}
			if !holds {
				t.Errorf("%s was acknowledged as %s: %+v, %v", id, action, k, err)
			}
		}
		entries, _, err := s.Audit(t.Context(), keys.AuditQuery{Key: id})
		if err != nil || len(entries) < len(actions) {
			t.Errorf("%s: %d audit entries for %q, %v", id, len(entries), actions, err)
		}
	}
	checkFeed(t, s)
}

// checkFeed reads all that the feed keeps and fails at a gap.
func checkFeed(t *testing.T, s *Store) {
	t.Helper()
	last, err := s.LastSeq(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changes, err := s.Changes(t.Context(), last-40, 1000)
	if err != nil || len(changes) != 40 || changes[39].Seq != last {
		t.Fatalf("%d changes after %d, last %d: %v", len(changes), last-40, last, err)
	}
}

// checkIntegrity lets SQLite check its file, its foreign keys and our index,
// and compares what is kept twice.
func checkIntegrity(t testing.TB, path string) {
	t.Helper()
	db := openRaw(t, path)
	for query, want := range map[string]string{
		`PRAGMA integrity_check`:                        "ok",
		`SELECT count(*) FROM pragma_foreign_key_check`: "0",
		`SELECT count(*) FROM keys k WHERE NOT EXISTS (SELECT 1 FROM secrets s WHERE s.key_n = k.n AND s.ends_at IS NULL)`:         "0",
		`SELECT count(*) FROM keys k WHERE NOT EXISTS (SELECT 1 FROM key_apis a WHERE a.n = k.n)`:                                  "0",
		`SELECT count(*) FROM text_postings t WHERE NOT EXISTS (SELECT 1 FROM text_parts p WHERE p.part = t.part)`:                 "0",
		`SELECT count(*) FROM text_rest r WHERE NOT EXISTS (SELECT 1 FROM keys k WHERE k.n = r.n)`:                                 "0",
		`SELECT (SELECT count(*) FROM text_rest) + (SELECT coalesce(sum(size), 0) FROM text_parts) >= (SELECT count(*) FROM keys)`: "1",
		`SELECT (SELECT seq FROM counters) - (SELECT max(seq) FROM changes)`:                                                       "0",
	} {
		var got string
		if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %s, want %s; %v", query, got, want, err)
		}
	}
}

func openTest(t testing.TB, path string, o keys.Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the test may have closed it
	return s
}

// openRaw opens the file without our code.
func openRaw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // the test may have closed it
	return db
}
