package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/store/pgtest"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
	"github.com/caddy-keywarden/keywarden/internal/store/storetest"
)

// place is where a store may be: its address, as the command takes it.
type place struct {
	t       *testing.T
	address string
}

func newSQLite(t *testing.T) place {
	return place{t, "sqlite:" + filepath.Join(t.TempDir(), "keys.db")}
}

func newPostgres(t *testing.T) place { return place{t, pgtest.Database(t)} }

func (p place) open() keys.Store {
	p.t.Helper()
	at, err := ParsePlace(p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	s, err := Open(p.t.Context(), at, keys.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = s.Close() }) // the test may have closed it
	return s
}

var silent = Copying{Note: func(string) {}, Progress: func(string, bool, int64, int64) {}}

// moment is when the tests' changes are made.
var moment = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

func by(after time.Duration) keys.By {
	return keys.By{Actor: "key_admin", IP: "192.0.2.1", At: moment.Add(after)}
}

func newKey(t *testing.T, name string, edit func(*keys.New)) keys.New {
	t.Helper()
	secret, err := keys.NewSecret("kw", nil)
	if err != nil {
		t.Fatal(err)
	}
	k := keys.New{Digest: secret.Digest(), Key: keys.Key{
		ID: keys.NewID(), Name: name, Owner: "team-7", Prefix: secret.Prefix(), Permissions: permission.Set{Mode: permission.All},
		Enabled: true, CreatedAt: moment, UpdatedAt: moment, CreatedBy: "key_admin", Metadata: map[string]string{"ü <&>": "\"\\\u2028 "},
	}}
	if edit != nil {
		edit(&k)
	}
	return k
}

// fill makes one of everything that a store can hold, and n keys more.
func fill(t *testing.T, s keys.Store, n int) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	set, err := permission.NewRestricted(
		permission.Grant{API: "rest", Access: permission.Read},
		permission.Grant{API: "serverless", ByEndpoint: true, Endpoints: []permission.EndpointGrant{{Endpoint: "é/1", Access: permission.Write}}},
		permission.Grant{API: "none", Access: permission.None})
	must(err)
	gone, rotated, expired := newKey(t, "gone", nil), newKey(t, "rotated", nil), newKey(t, "expired", func(k *keys.New) { k.Key.ExpiresAt = moment.Add(time.Millisecond) })
	foreign := newKey(t, "Größe 鍵", func(k *keys.New) {
		k.Foreign, k.Key.Legacy, k.Key.Permissions, k.Key.Owner = true, true, set, ""
		k.Key.Metadata = nil
	})
	off := newKey(t, "off", func(k *keys.New) { k.Key.Enabled, k.Key.Admin = false, permission.Write })
	must(s.Create(ctx, by(0), "create", []keys.New{gone, rotated, expired, off}))
	must(s.Create(ctx, by(0), "import", []keys.New{foreign}))
	_, err = s.Rotate(ctx, by(time.Second), rotated.Key.ID, keys.Guard{}, newKey(t, "", nil).Digest, "kw_rotated", moment.AddDate(50, 0, 0))
	must(err)
	_, err = s.Update(ctx, by(time.Second), foreign.Key.ID, keys.Guard{}, func(k *keys.Key) error { k.Enabled = false; return nil })
	must(err)
	must(s.Delete(ctx, by(2*time.Second), gone.Key.ID, keys.Guard{}))
	must(s.PutEndpoint(ctx, by(0), keys.Endpoint{API: "rest", ID: "B", Title: "Ü"}))
	must(s.PutEndpoint(ctx, by(0), keys.Endpoint{API: "rest", ID: "a"}))
	must(s.Touch(ctx, map[keys.ID]time.Time{rotated.Key.ID: moment.Add(time.Minute)}))
	must(s.AddUsage(ctx, keys.UsageBatch{Writer: "w", Number: 1, Used: []keys.Used{
		{Key: rotated.Key.ID, What: keys.What{API: "rest", Endpoint: "é", Access: permission.Read, Outcome: keys.OutcomeAllowed}, N: 3, LastAt: moment},
		{Key: expired.Key.ID, What: keys.What{Outcome: "expired_key"}, N: 1, LastAt: moment},
	}}))
	tellWebhook(t, s)
	var more []keys.New
	for i := range n {
		more = append(more, newKey(t, fmt.Sprintf("key %d", i), nil))
	}
	must(s.Create(ctx, by(0), "import", more))
}

// tellWebhook makes a webhook that was told of one change, and not of others yet.
func tellWebhook(t *testing.T, s keys.Store) {
	t.Helper()
	ctx := t.Context()
	if err := s.Subscribe(ctx, "wh_a", moment); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enqueue(ctx, "wh_a", map[string]string{"delete": "gone", "rotate": "changed"}, moment); err != nil {
		t.Fatal(err)
	}
	told, err := s.Claim(ctx, "wh_a", time.Minute, 1)
	if err != nil || len(told) != 1 {
		t.Fatalf("claimed %v, %v", told, err)
	}
	if err := s.Settle(ctx, keys.Settled{Delivery: &told[0], Result: keys.DeliveryResult{State: keys.Pending, Status: 500, Error: "answered 500", After: time.Hour}}); err != nil {
		t.Fatal(err)
	}
}

// content is all that a store shows.
type content struct {
	Keys      []*keys.Key
	Audit     []keys.AuditEntry
	Endpoints []keys.Endpoint
	Found     map[keys.Digest]*keys.Identity
	ByAPI     []keys.ID
	ByText    []keys.ID
	Counts    keys.Counts
	Foreign   bool
	Unused    []keys.ID
	Usage     []*keys.Usage
	Owners    *keys.UsageSums
	Told      []keys.Delivery
	Behind    bool // there is something that the webhook has not been told
}

func read(t *testing.T, s keys.Store) content {
	t.Helper()
	ctx := t.Context()
	c := content{Found: map[keys.Digest]*keys.Identity{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	list := func(q keys.Query) (all []*keys.Key) {
		q.Now, q.Limit = moment, 200
		for {
			page, next, err := s.List(ctx, q)
			must(err)
			all = append(all, page...)
			if q.Cursor = next; next == "" {
				return all
			}
		}
	}
	ids := func(all []*keys.Key) (out []keys.ID) {
		for _, k := range all {
			out = append(out, k.ID)
		}
		return out
	}
	c.Keys, c.ByAPI, c.ByText = list(keys.Query{}), ids(list(keys.Query{API: "serverless"})), ids(list(keys.Query{Text: "GRÖSSE"}))
	for q := (keys.AuditQuery{Limit: 200}); ; {
		page, next, err := s.Audit(ctx, q)
		must(err)
		c.Audit = append(c.Audit, page...)
		if q.Cursor = next; next == "" {
			break
		}
	}
	var err error
	c.Endpoints, err = s.Endpoints(ctx)
	must(err)
	must(s.Digests(ctx, func(d keys.Digest) bool { c.Found[d] = nil; return true }))
	for d := range c.Found {
		if d[0]%16 != 0 { // one look-up each would take most of the test's time
			continue
		}
		c.Found[d], err = s.Find(ctx, d)
		must(err)
	}
	c.Counts, err = s.Counts(ctx, moment)
	must(err)
	c.Foreign, err = s.HasForeign(ctx)
	must(err)
	c.Unused = ids(list(keys.Query{UnusedSince: moment.AddDate(0, 0, 2)}))
	for _, k := range c.Keys[max(0, len(c.Keys)-10):] { // the oldest
		u, err := s.Usage(ctx, keys.UsageQuery{Key: k.ID, Step: keys.Minute, From: moment, To: moment.Add(time.Hour)})
		must(err)
		c.Usage = append(c.Usage, u)
	}
	c.Owners, err = s.SumUsage(ctx, keys.UsageSumQuery{Group: keys.ByOwner, Step: keys.Day, From: moment, To: moment.Add(time.Hour)})
	must(err)
	c.Told, _, err = s.Deliveries(ctx, keys.DeliveryQuery{})
	must(err)
	due, err := s.Due(ctx, "wh_a")
	if !errors.Is(err, keys.ErrNoSuchWebhook) { // as in an empty store
		must(err)
	}
	c.Behind = due.Behind
	return c
}

func same(t *testing.T, want, got content) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), storetest.Identities); diff != "" {
		t.Fatalf("the copy differs (-source +copy):\n%s", diff)
	}
}

// ways are from where to where copies are made.
var ways = []struct {
	name     string
	from, to func(*testing.T) place
}{
	{"sqlite to sqlite", newSQLite, newSQLite},
	{"sqlite to postgres", newSQLite, newPostgres},
	{"postgres to sqlite", newPostgres, newSQLite},
	{"postgres to postgres", newPostgres, newPostgres},
}

func TestACopyHoldsEverything(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			from, to := way.from(t), way.to(t)
			source := from.open()
			fill(t, source, 1100)
			want := read(t, source)
			copied, err := Copy(t.Context(), from.address, to.address, silent)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]sqlstore.Copied{{Name: "keys", Rows: 1104}, {Name: "secrets", Rows: 1105}, {Name: "audit entries", Rows: 1110}, {Name: "endpoints", Rows: 2}, {Name: "usage counts", Rows: 6}, {Name: "usage totals", Rows: 4}, {Name: "webhooks", Rows: 1}, {Name: "webhook deliveries", Rows: 2}}, copied); diff != "" {
				t.Errorf("copied (-want +got):\n%s", diff)
			}
			target := to.open()
			same(t, want, read(t, target))
			same(t, want, read(t, source))
			goesOn(t, source, target)
		})
	}
}

// goesOn fails if the copy does not work as the source would.
func goesOn(t *testing.T, source, target keys.Store) {
	t.Helper()
	ctx := t.Context()
	before, err := source.LastSeq(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever followed the source, or the empty target, has lost their place.
	for _, place := range []keys.Seq{0, 1, before - 1, before} {
		if changes, err := target.Changes(ctx, place, 10); !errors.Is(err, keys.ErrLostPlace) {
			t.Errorf("changes after %d: %v, %v", place, changes, err)
		}
	}
	after, err := target.LastSeq(ctx)
	if err != nil || after <= before {
		t.Errorf("the last change is %d, %v; want more than %d", after, err, before)
	}
	k := newKey(t, "after", nil)
	if err := target.Create(ctx, by(time.Hour), "create", []keys.New{k}); err != nil {
		t.Fatal(err)
	}
	page, _, err := target.List(ctx, keys.Query{Now: moment, Limit: 1})
	if err != nil || len(page) != 1 || page[0].ID != k.Key.ID {
		t.Errorf("the newest key is %v, %v", page, err)
	}
	entries, _, err := target.Audit(ctx, keys.AuditQuery{Limit: 1})
	if err != nil || len(entries) != 1 || entries[0].Key != k.Key.ID {
		t.Errorf("the newest audit entry is %v, %v", entries, err)
	}
	if changes, err := target.Changes(ctx, after, 10); err != nil || len(changes) != 1 || changes[0].Seq != after+1 {
		t.Errorf("changes after the copy: %v, %v", changes, err)
	}
}

func TestAnEmptyStoreIsCopied(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			from, to := way.from(t), way.to(t)
			source := from.open()
			if _, err := Copy(t.Context(), from.address, to.address, silent); err != nil {
				t.Fatal(err)
			}
			same(t, read(t, source), read(t, to.open()))
		})
	}
}

func TestATargetThatIsNotEmptyIsRefusedAndLeftAlone(t *testing.T) {
	for _, way := range ways {
		for name, dirty := range map[string]func(keys.Store) error{
			"a key": func(s keys.Store) error {
				return s.Create(t.Context(), by(0), "create", []keys.New{newKey(t, "a", nil)})
			},
			"a endpoint": func(s keys.Store) error { return s.PutEndpoint(t.Context(), by(0), keys.Endpoint{API: "a", ID: "b"}) },
			"traces of a key": func(s keys.Store) error {
				k := newKey(t, "a", nil)
				return errors.Join(s.Create(t.Context(), by(0), "create", []keys.New{k}), s.Delete(t.Context(), by(0), k.Key.ID, keys.Guard{}))
			},
		} {
			t.Run(way.name+", "+name, func(t *testing.T) {
				from, to := way.from(t), way.to(t)
				fill(t, from.open(), 1)
				target := to.open()
				if err := dirty(target); err != nil {
					t.Fatal(err)
				}
				before := read(t, target)
				_, err := Copy(t.Context(), from.address, to.address, silent)
				if !errors.Is(err, sqlstore.ErrNotEmpty) {
					t.Errorf("copied: %v", err)
				}
				same(t, before, read(t, target))
				if changes, err := target.Changes(t.Context(), 0, 10); err != nil || len(changes) == 0 {
					t.Errorf("the changes are %v, %v", changes, err)
				}
			})
		}
	}
}

func TestABrokenOffCopyLeavesNothing(t *testing.T) {
	for _, way := range ways {
		for _, table := range []string{"keys", "secrets", "audit entries", "checking"} {
			t.Run(way.name+", "+table, func(t *testing.T) {
				from, to := way.from(t), way.to(t)
				fill(t, from.open(), 1100)
				ctx, cancel := context.WithCancel(t.Context())
				_, err := Copy(ctx, from.address, to.address, Copying{Note: silent.Note, Progress: func(name string, checking bool, done, _ int64) {
					if done == 1000 && (name == table || checking && table == "checking") {
						cancel()
					}
				}})
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("copied: %v", err)
				}
				target := to.open()
				if got := read(t, target); len(got.Keys)+len(got.Audit)+len(got.Found)+len(got.Endpoints) != 0 {
					t.Errorf("%d keys are there", len(got.Keys))
				}
				if last, err := target.LastSeq(t.Context()); err != nil || last != 0 {
					t.Errorf("the last change is %d, %v", last, err)
				}
				// It can be done again.
				if _, err := Copy(t.Context(), from.address, to.address, silent); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestACopyIsOfOneMoment(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			from, to := way.from(t), way.to(t)
			source := from.open()
			fill(t, source, 1100)
			want := read(t, source)
			changed := false
			_, err := Copy(t.Context(), from.address, to.address, Copying{Note: silent.Note, Progress: func(string, bool, int64, int64) {
				if !changed {
					changed = true
					fill(t, source, 10)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			same(t, want, read(t, to.open()))
		})
	}
}

func TestWhoCopiesIsToldOfGatewaysThatRun(t *testing.T) {
	from, to := newSQLite(t), newSQLite(t)
	source := from.open()
	for _, n := range []keys.Node{{ID: "a", Name: "web-1:7", Lease: time.Hour}, {ID: "b", Name: "silent", Lease: -time.Hour, Keeps: 2 * time.Hour}} {
		if _, err := source.PutNode(t.Context(), n, nil); err != nil {
			t.Fatal(err)
		}
	}
	var notes []string
	_, err := Copy(t.Context(), from.address, to.address, Copying{Note: func(text string) { notes = append(notes, text) }, Progress: silent.Progress})
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "web-1:7") || strings.Contains(notes[0], "silent") {
		t.Errorf("notes %q, %v", notes, err)
	}
	// Nodes belong to what runs: they are not copied.
	if nodes, _, err := to.open().Nodes(t.Context()); err != nil || len(nodes) != 0 {
		t.Errorf("nodes %v, %v", nodes, err)
	}
}

func TestASourceThatIsNotThereIsNotMade(t *testing.T) {
	folder := t.TempDir()
	_, err := Copy(t.Context(), "sqlite:"+filepath.Join(folder, "sub", "keys.db"), "sqlite:"+filepath.Join(folder, "copy.db"), silent)
	if err == nil || !strings.Contains(err.Error(), "FROM: there is no database") {
		t.Errorf("copied: %v", err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
		t.Errorf("made %v, %v", entries, err)
	}
}

func TestAStoreIsNotCopiedOntoItself(t *testing.T) {
	from := newSQLite(t)
	source := from.open()
	fill(t, source, 1)
	before := read(t, source)
	if _, err := Copy(t.Context(), from.address, from.address, silent); !errors.Is(err, sqlstore.ErrNotEmpty) {
		t.Errorf("copied: %v", err)
	}
	same(t, before, read(t, source))
}

func TestAddressesAreReadAndNeverRepeated(t *testing.T) {
	for text, want := range map[string]string{
		"sqlite:./a b?.db": "sqlite ./a b?.db", "sqlite:/x": "sqlite /x", "sqlite:C:\\x": `sqlite C:\x`,
		"postgres://u:p@h:5432/d": "postgres postgres://u:p@h:5432/d", "postgresql://h/d": "postgres postgresql://h/d", "host=h user=u": "postgres host=h user=u",
		" dbname = d": "postgres  dbname = d",
	} {
		if p, err := ParsePlace(text); err != nil || p.Kind+" "+p.Address != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "sqlite", "sqlite:", "keys.db", "mysql://u:hunter2@h/d", "hunter2", ":", "SQLITE:x", "postgres://u:hunter2@h:port/d", "password=hunter2 port=x", "postgres:host=h"} {
		_, err := ParsePlace(text)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := Copy(t.Context(), "x", "y", silent); err == nil || !strings.HasPrefix(err.Error(), "FROM: ") {
		t.Errorf("%v", err)
	}
	from := newSQLite(t)
	from.open()
	if _, err := Copy(t.Context(), from.address, "y", silent); err == nil || !strings.HasPrefix(err.Error(), "TO: ") || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
