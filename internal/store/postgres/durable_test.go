package postgres

import (
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

func TestChangesWaitForTheDiskWhateverTheRoleSays(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	admin := pgtest.Connect(t, server.Address("postgres"))
	for _, c := range []struct{ role, level, want string }{
		{"hasty", "off", "on"}, {"usual", "on", "on"}, {"near", "local", "local"}, {"careful", "remote_apply", "remote_apply"},
	} {
		database := pgtest.Name(server.Database(t))
		for _, text := range []string{
			`CREATE ROLE ` + c.role + ` LOGIN SUPERUSER`, `ALTER ROLE ` + c.role + ` SET synchronous_commit = ` + c.level,
		} {
			if _, err := admin.Exec(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		address := server.Address(database) + " user=" + c.role
		for name, address := range map[string]string{"": address, " behind a pooler": address + " default_query_exec_mode=exec"} {
			t.Run(c.level+name, func(t *testing.T) {
				s := openTest(t, address, Options{})
				create(t, s, testKey("a"))
				if got := levelOfAChange(t, s); got != c.want {
					t.Errorf("a change commits with synchronous_commit=%s, want %s", got, c.want)
				}
			})
		}
	}
}

// levelOfAChange returns how a change of the store commits.
func levelOfAChange(t *testing.T, s *Store) (level string) {
	t.Helper()
	tx, err := s.pools.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }() // it changed nothing
	if err := tx.QueryRowContext(t.Context(), `SHOW synchronous_commit`).Scan(&level); err != nil {
		t.Fatal(err)
	}
	return level
}
