package console

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// editKey asks what of the key is to change.
func (v *visit) editKey() error {
	f, key, err := v.stored(v.form.Get("id"))
	if err != nil {
		return err
	}
	if v.form.Has("suggested") {
		if err := v.suggest(f, key); err != nil {
			return err
		}
	}
	return v.dialog(http.StatusOK, "key-dialog", f)
}

// suggest fills the form with what is suggested instead of what the key has.
func (v *visit) suggest(f *keyForm, key *admin.Key) error {
	found, err := v.suggestion(key.ID)
	if err != nil || found == nil {
		return err
	}
	apis, _, err := v.client.APIs(v.r.Context())
	if err != nil {
		return err
	}
	f.Mode, f.APIs, f.Gone = found.Permissions.Mode, nil, nil
	f.list(apis.Data, found.Permissions.APIs)
	f.Lost = v.lost(key.ID, found.Permissions)
	return nil
}

// stored returns the form of a key as it is.
func (v *visit) stored(id string) (*keyForm, *admin.Key, error) {
	apis, _, err := v.client.APIs(v.r.Context())
	if err != nil {
		return nil, nil, err
	}
	key, answer, err := v.client.Get(v.r.Context(), id)
	if err != nil {
		return nil, nil, err
	}
	return formOf(&key, answer.ETag, apis.Data, v.now), &key, nil
}

// updateKey changes what the form changes, if nobody else has changed the key
// since the form was made.
func (v *visit) updateKey() error {
	f, key, err := v.stored(v.form.Get("id"))
	if err != nil {
		return err
	}
	seen := v.form.Get("etag")
	if v.form.Has("lost") && seen != f.ETag {
		// Whoever is quick updates the key before this question comes: it is
		// about a form that is gone, and shall not look like a conflict.
		v.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if seen != f.ETag {
		return v.conflict(f)
	}
	f.read(v.form)
	if v.form.Has("lost") {
		return v.showLost(f, key)
	}
	patch := v.patch(f, key)
	if len(f.Faults) > 0 {
		return v.dialog(http.StatusUnprocessableEntity, "key-dialog", f)
	}
	if v.form.Has("as") {
		v.fragment(http.StatusOK, "as-texts", v.edition(key.ID, seen, patch))
		return nil
	}
	if v.unseen(f, key.ID, patch) {
		return v.dialog(http.StatusOK, "key-dialog", f)
	}
	changed, _, err := v.client.Patch(v.r.Context(), key.ID, patch, seen)
	var problem *admin.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusPreconditionFailed {
		if f, _, err = v.stored(key.ID); err != nil {
			return err
		}
		return v.conflict(f)
	}
	if err != nil {
		return v.refuseForm(f, err)
	}
	return v.showChanged(&changed)
}

// patch returns what differs from the key: what stays need not be sent, and
// the audit names what somebody changed.
func (v *visit) patch(f *keyForm, key *admin.Key) admin.Patch {
	var p admin.Patch
	if name := strings.TrimSpace(f.Name); name != key.Name {
		p.Name = &name
	}
	if f.Owner != key.Owner {
		p.Owner = &f.Owner
	}
	if f.Admin != key.Admin {
		p.Admin = &f.Admin
	}
	if list := f.sources(); !slices.Equal(list, key.Sources) {
		p.Sources = &list
	}
	if wanted := f.permissions(); !samePermissions(wanted, key.Permissions, f.Gone) {
		p.Permissions = &wanted
	}
	if f.Expiry != "keep" {
		ends := f.expiresAt(v.form.Get("instant"), v.now)
		switch {
		case ends != nil:
			p.ExpiresAt = &admin.Expiry{Time: *ends}
		case key.ExpiresAt != nil:
			p.ExpiresAt = &admin.Expiry{}
		}
	}
	return p
}

// samePermissions compares what two sets grant, without the APIs that are
// gone: a form can't show them, and keeps them as long as nothing changes.
func samePermissions(a, b admin.Permissions, gone []string) bool {
	return a.Mode == b.Mode && reflect.DeepEqual(granted(a, gone), granted(b, gone))
}

// granted returns the access by API and endpoint, without what is none.
func granted(p admin.Permissions, gone []string) map[string]string {
	out := map[string]string{}
	for name, api := range p.APIs {
		out[name] = api.Access
		for id, access := range api.Endpoints {
			if access != "none" {
				out[name+"/"+id] = access
			}
		}
		if api.Access == "none" {
			delete(out, name)
		}
	}
	for _, name := range gone {
		delete(out, name)
		for _, listed := range sortedNames(out) {
			if strings.HasPrefix(listed, name+"/") {
				delete(out, listed)
			}
		}
	}
	return out
}

// conflict shows the key as somebody else has made it meanwhile, and beside
// it what the visitor had entered. Nothing is overwritten.
func (v *visit) conflict(f *keyForm) error {
	entered := *f
	entered.APIs = nil
	for _, row := range f.APIs {
		row.Endpoints = append([]endpointRow(nil), row.Endpoints...)
		entered.APIs = append(entered.APIs, row)
	}
	entered.read(v.form)
	note := func(field, stored, wanted string) {
		if stored != wanted {
			f.Changed = append(f.Changed, field+" is "+quoted(stored)+" now; you had entered "+quoted(wanted)+".")
		}
	}
	note("Name", f.Name, strings.TrimSpace(entered.Name))
	note("Owner", f.Owner, entered.Owner)
	stored, wanted := f.permissions(), entered.permissions()
	if !samePermissions(stored, wanted, f.Gone) {
		note("Permissions", describe(stored), describe(wanted))
	}
	note("Admin access", accessName(f.Admin), accessName(entered.Admin))
	note("Allowed from", strings.Join(f.sources(), " "), strings.Join(entered.sources(), " "))
	if entered.Expiry != f.Expiry {
		note("Expiry", expiryWords(f), expiryWords(&entered))
	}
	f.Problem = "Somebody changed this key while you were editing it. Nothing was overwritten: this is the key as it is now."
	f.Faults = nil
	return v.dialog(http.StatusPreconditionFailed, "key-dialog", f)
}

func quoted(text string) string {
	if text == "" {
		return "empty"
	}
	return "“" + text + "”"
}

func describe(p admin.Permissions) string {
	words := accessWords(p)
	if detail := accessDetail(p); detail != "" {
		words += " (" + strings.ReplaceAll(detail, "\n", ", ") + ")"
	}
	return words
}

func expiryWords(f *keyForm) string {
	switch f.Expiry {
	case "keep":
		return f.Keeps.Exact
	case "date":
		return f.Date
	case "never":
		return "never"
	}
	for _, e := range expiries {
		if e.Word == f.Expiry {
			return "in " + span(e.After+time.Second)
		}
	}
	return f.Expiry
}
