package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-keywarden/keywarden/admin"
)

// auditList is a page of the audit.
type auditList struct {
	Rows       []auditRow
	Key, Actor string // what of it is looked at
	More       string
}

// auditRow is one change.
type auditRow struct {
	admin.AuditEntry
	When                 moment
	Actor, ActorName     string
	ActorLink            string
	Subject, SubjectID   string // the key's name, or the endpoint
	SubjectLink, Address string
	Action               string
	Differences          []difference
}

// difference is a field that a change touched.
type difference struct{ Field, Before, After string }

func (v *visit) listAudit() error {
	key, actor := strings.TrimSpace(v.form.Get("key")), strings.TrimSpace(v.form.Get("actor"))
	found, _, err := v.client.Audit(v.r.Context(), admin.AuditFilter{Key: key, Actor: actor, Cursor: v.form.Get("cursor")})
	if err != nil {
		return err
	}
	list := auditList{Key: key, Actor: actor}
	names := map[string]string{v.me.ID: v.me.Name}
	for _, entry := range found.Data {
		list.Rows = append(list.Rows, v.auditRow(entry, names))
	}
	view := url.Values{"key": {key}, "actor": {actor}}
	if found.NextCursor != nil {
		list.More = link("audit", url.Values{"key": {key}, "actor": {actor}, "cursor": {*found.NextCursor}})
	}
	switch {
	case !v.partial():
		v.page(http.StatusOK, "audit", list)
	case v.form.Get("cursor") != "":
		v.fragment(http.StatusOK, "audit-rows", list)
	default:
		v.w.Header().Set("HX-Replace-Url", link("audit", view))
		v.fragment(http.StatusOK, "audit-list", list)
	}
	return nil
}

func (v *visit) auditRow(entry admin.AuditEntry, names map[string]string) auditRow {
	row := auditRow{
		AuditEntry: entry, When: past(&entry.At, v.now), Actor: entry.Actor, ActorName: v.nameOf(entry.Actor, names),
		ActorLink: link("audit", url.Values{"actor": {entry.Actor}}), Action: actionWords(entry.Action),
	}
	if entry.IP != nil {
		row.Address = *entry.IP
	}
	before, after := members(entry.Before), members(entry.After)
	known := after
	if known == nil {
		known = before
	}
	if entry.Key != nil {
		row.SubjectID = *entry.Key
		row.SubjectLink = link("audit", url.Values{"key": {*entry.Key}})
		row.Subject = told(known["name"])
	} else {
		row.Subject = told(known["api"]) + "/" + told(known["id"])
	}
	row.Differences = differences(before, after)
	return row
}

// nameOf returns the name of the admin key with this id, "" if it has none or
// is gone. Each is asked for once a page.
func (v *visit) nameOf(actor string, names map[string]string) string {
	name, asked := names[actor]
	if asked || !strings.HasPrefix(actor, "key_") {
		return name
	}
	key, _, err := v.client.Get(v.r.Context(), actor)
	if err == nil { // else it is deleted, and its id must do
		name = key.Name
	}
	names[actor] = name
	return name
}

func actionWords(action string) string {
	words := map[string]string{
		"create": "created", "update": "changed", "enable": "enabled", "disable": "disabled", "rotate": "rotated",
		"delete": "deleted", "import": "imported", "leak": "reported as leaked", "bootstrap": "created at the first start",
		"put_endpoint": "registered", "delete_endpoint": "removed",
	}
	if word := words[action]; word != "" {
		return word
	}
	return action
}

func members(text json.RawMessage) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	if json.Unmarshal(text, &out) != nil { // null, or nothing that we know: it is shown as nothing
		return nil
	}
	return out
}

// differences lists what a change touched. What a new key has by default says
// nothing.
func differences(before, after map[string]json.RawMessage) []difference {
	all := map[string]bool{}
	for name := range before {
		all[name] = true
	}
	for name := range after {
		all[name] = true
	}
	for _, name := range []string{"id", "api", "created_at", "updated_at", "created_by"} {
		delete(all, name)
	}
	var out []difference
	for _, name := range sortedNames(all) {
		was, is := told(before[name]), told(after[name])
		if was == is || (before == nil || after == nil) && (is+was == "no" || is+was == "none" || name == "enabled") {
			continue
		}
		out = append(out, difference{Field: strings.ReplaceAll(name, "_", " "), Before: was, After: is})
	}
	return out
}

// told returns a JSON value as people read it: text without quotes, and
// nothing for what is empty.
func told(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var packed bytes.Buffer
	if json.Compact(&packed, raw) != nil {
		return ""
	}
	switch value := packed.String(); value {
	case "null", "{}", "[]":
		return ""
	case "true":
		return "yes"
	case "false":
		return "no"
	default:
		var p admin.Permissions
		if json.Unmarshal(raw, &p) == nil && p.Mode != "" {
			return describe(p)
		}
		return value
	}
}
