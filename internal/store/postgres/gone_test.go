package postgres

import (
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
)

// Also where people delete by hand, in a session that knows nothing of ours.
func TestSecretsOfAKeyGoWithItWhoeverDeletesIt(t *testing.T) {
	address := pgtest.Database(t)
	admin := pgtest.Connect(t, address)
	if _, err := admin.Exec(t.Context(), `CREATE SCHEMA ours`); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, address+" search_path=ours", Options{})
	a, b, kept := testKey("a"), testKey("b"), testKey("kept")
	create(t, s, a, b, kept)
	if _, err := admin.Exec(t.Context(), `DELETE FROM ours.keys WHERE name IN ('a', 'b')`); err != nil {
		t.Fatal(err)
	}
	var secrets, apis int
	if err := admin.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM ours.secrets), (SELECT count(*) FROM ours.key_apis)`).Scan(&secrets, &apis); err != nil {
		t.Fatal(err)
	}
	if secrets != 1 || apis != 1 {
		t.Errorf("%d secrets and %d APIs are there, want those of one key", secrets, apis)
	}
	if _, err := s.Find(t.Context(), kept.Digest); err != nil {
		t.Error(err)
	}
}

// A secret that is known already is found out however the rows are written.
func TestAKnownSecretInALargeImportIsNamed(t *testing.T) {
	s := openTest(t, pgtest.Database(t), Options{})
	known := testKey("known")
	create(t, s, known)
	ks := make([]keys.New, 2*copied)
	for i := range ks {
		ks[i] = testKey("imported")
	}
	ks[copied+7].Digest = known.Digest
	err := s.Create(t.Context(), by(), "import", ks)
	fault, ok := err.(*keys.KnownSecretError) //nolint:errorlint // it is not wrapped
	if !ok || fault.Index != copied+7 {
		t.Fatalf("error %v, want that of key %d", err, copied+7)
	}
	page, _, err := s.List(t.Context(), keys.Query{Now: known.Key.CreatedAt})
	if err != nil || len(page) != 1 {
		t.Fatalf("%d keys, %v", len(page), err)
	}
	create(t, s, ks[:copied]...)
}
