package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

func isBadCursor(err error) bool { return errors.Is(err, keys.ErrBadCursor) }

var auditTests = map[string]func(*suite){
	"every change is audited with its word":      auditActions,
	"an entry shows the key in the API's shape":  auditShape,
	"an entry shows neither digest nor secret":   auditNoDigest,
	"entries are paged, newest first":            auditPages,
	"entries by key, by actor, by both":          auditFilters,
	"ids sort as the entries do":                 auditIDs,
	"hostile actors and addresses are only text": auditHostile,
}

// fieldOf returns a field of a JSON object.
func fieldOf(s *suite, object json.RawMessage, name string) any {
	s.Helper()
	var fields map[string]any
	s.must(json.Unmarshal(object, &fields))
	return fields[name]
}

func auditActions(s *suite) {
	k := s.created("a")
	id := k.Key.ID
	s.updated(id, start, func(k *keys.Key) { k.Enabled = false })
	s.updated(id, start, func(k *keys.Key) { k.Enabled = true })
	s.updated(id, start, func(k *keys.Key) { k.Enabled, k.Name = false, "b" })
	s.updated(id, start, func(k *keys.Key) { k.Name = "c" })
	s.rotated(id, start, start)
	s.must(s.Delete(s.Context(), by(start), id, keys.Guard{}))
	s.must(s.Create(s.Context(), by(start), "import", []keys.New{newKey("d")}))
	s.must(s.PutEndpoint(s.Context(), by(start), keys.Endpoint{API: "api", ID: "e", Title: "E"}))
	s.must(s.DeleteEndpoint(s.Context(), by(start), "api", "e"))
	entries, next, err := s.Audit(s.Context(), keys.AuditQuery{})
	s.must(err)
	s.equal("next", next, "")
	type row struct {
		Action        string
		Key           bool
		Before, After bool
	}
	var got []row
	for _, e := range slices.Backward(entries) {
		s.equal("who, where, when", []any{e.Actor, e.IP, e.At}, []any{keys.ID("key_admin"), "192.0.2.1", start})
		got = append(got, row{e.Action, e.Key == id, e.Before != nil, e.After != nil})
	}
	s.equal("entries", got, []row{
		{"create", true, false, true},
		{"disable", true, true, true},
		{"enable", true, true, true},
		{"update", true, true, true},
		{"update", true, true, true},
		{"rotate", true, true, true},
		{"delete", true, true, false},
		{"import", false, false, true},
		{"put_endpoint", false, false, true},
		{"delete_endpoint", false, true, false},
	})
}

func auditShape(s *suite) {
	k := fullKey(s)
	s.create(k)
	s.updated(k.Key.ID, start, func(k *keys.Key) {
		k.Name, k.ExpiresAt, k.Metadata, k.Permissions = "b", time.Time{}, nil, permission.Set{Mode: permission.All}
	})
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{})
	s.must(err)
	networks := []any{"203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32", "::/0"}
	before := map[string]any{
		"id": string(k.Key.ID), "name": "ci", "owner": "team-7", "prefix": "kw_ci", "admin": "read", "enabled": false, "legacy": true,
		"permissions": map[string]any{"mode": "restricted", "apis": map[string]any{
			"graphql": map[string]any{"access": "read"}, "serverless": map[string]any{"access": "restricted", "endpoints": map[string]any{"abc123": "write"}},
		}},
		"expires_at": "2026-01-02T04:04:05.678Z", "created_at": "2026-01-02T03:04:05.678Z", "created_by": "config",
		"metadata": map[string]any{"team": "7", "": "", "ü": "\"\\\x00\u2028<&>"}, "allowed_cidrs": networks,
	}
	after := map[string]any{
		"id": string(k.Key.ID), "name": "b", "owner": "team-7", "prefix": "kw_ci", "admin": "read", "enabled": false, "legacy": true,
		"permissions": map[string]any{"mode": "all"}, "expires_at": nil, "created_at": "2026-01-02T03:04:05.678Z", "created_by": "config", "metadata": map[string]any{},
		"allowed_cidrs": networks,
	}
	for _, c := range []struct {
		got  json.RawMessage
		want map[string]any
	}{{entries[0].Before, before}, {entries[0].After, after}, {entries[1].After, before}} {
		var got map[string]any
		s.must(json.Unmarshal(c.got, &got))
		s.equal("key", got, c.want)
	}
}

func auditNoDigest(s *suite) {
	k := s.created("a")
	second := s.rotated(k.Key.ID, start, start.Add(time.Hour))
	s.must(s.Delete(s.Context(), by(start), k.Key.ID, keys.Guard{}))
	text, err := json.Marshal(s.state().Audit)
	s.must(err)
	for _, d := range []keys.Digest{k.Digest, second} {
		if containsDigest(string(text), d) {
			s.Fatal("the audit shows a digest")
		}
	}
}

func auditPages(s *suite) {
	for range 12 {
		s.created("a")
	}
	all, _, err := s.Audit(s.Context(), keys.AuditQuery{Limit: 200})
	s.must(err)
	for _, limit := range []int{1, 5, 12, 13} {
		var got []keys.AuditEntry
		q := keys.AuditQuery{Limit: limit}
		for {
			page, next, err := s.Audit(s.Context(), q)
			s.must(err)
			got = append(got, page...)
			if next == "" {
				break
			}
			s.equal("size of a page", len(page), limit)
			q.Cursor = next
			s.created("meanwhile")
		}
		s.equal("entries", got[len(got)-12:], all[len(all)-12:])
	}
}

func auditFilters(s *suite) {
	a, b := newKey("a"), newKey("b")
	eve := keys.By{Actor: "key_eve", At: start}
	s.create(a)
	s.must(s.Create(s.Context(), eve, "create", []keys.New{b}))
	s.must(s.Delete(s.Context(), eve, a.Key.ID, keys.Guard{}))
	for q, want := range map[keys.AuditQuery][]string{
		{}:                                  {"delete", "create", "create"},
		{Key: a.Key.ID}:                     {"delete", "create"},
		{Actor: "key_eve"}:                  {"delete", "create"},
		{Key: a.Key.ID, Actor: "key_eve"}:   {"delete"},
		{Key: "key_none"}:                   {},
		{Actor: "key_%"}:                    {},
		{Actor: "' OR 1=1 --", Key: "\x00"}: {},
		{Key: b.Key.ID, Actor: "key_admin"}: {},
	} {
		entries, _, err := s.Audit(s.Context(), q)
		s.must(err)
		got := []string{}
		for _, e := range entries {
			got = append(got, e.Action)
		}
		s.equal(fmt.Sprintf("entries for %+v", q), got, want)
	}
}

func auditIDs(s *suite) {
	for range 12 {
		s.created("a")
	}
	entries := s.state().Audit
	var ids []string
	for _, e := range slices.Backward(entries) {
		ids = append(ids, e.ID)
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != 12 {
		s.Fatalf("ids %q", ids)
	}
}

func auditHostile(s *suite) {
	who := keys.By{Actor: "cli@'; DROP TABLE audit; --\u2028🙂", IP: "\"%s\\", At: start}
	s.must(s.Create(s.Context(), who, "create", []keys.New{newKey("a")}))
	entries, _, err := s.Audit(s.Context(), keys.AuditQuery{Actor: who.Actor})
	s.must(err)
	s.equal("who", []any{entries[0].Actor, entries[0].IP}, []any{who.Actor, who.IP})
}
