package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"

	"github.com/caddy-keywarden/keywarden/admin"
)

// lost is what a key did lately that it could not do with other permissions.
type lost struct {
	admin.Impact
	Words   string // how many of how many
	Last    moment
	Uses    []lostUse
	More    string
	Accept  string // of whoever has seen it
	Unasked bool   // nobody has: it is shown before the change is made
}

// lostUse is one thing that would be refused.
type lostUse struct {
	Access, Where, Count string
	Last                 moment
}

// shownLost is how many of them are listed: it is a warning, no report.
const shownLost = 6

// lost asks what a key did lately that would be refused, and returns nil
// where it can't be told: that is no reason to refuse the change.
func (v *visit) lost(id string, wanted admin.Permissions) *lost {
	found, _, err := v.client.Impact(v.r.Context(), id, admin.ImpactRequest{Permissions: &wanted})
	if err != nil {
		v.Logger.WarnContext(v.r.Context(), "asking what a change would refuse", "error", err)
		return nil
	}
	l := &lost{
		Impact: found, Words: number(found.Refused, "") + " of " + number(found.Requests, "request"),
		Last: past(found.LastRefusedAt, v.now), Accept: mark(wanted),
	}
	for _, u := range found.Uses[:min(len(found.Uses), shownLost)] {
		l.Uses = append(l.Uses, lostUse{Access: u.Access, Where: where(u.Target), Count: number(u.Requests, "request"), Last: past(&u.LastAt, v.now)})
	}
	if more := len(found.Uses) - len(l.Uses) + found.MoreUses; more > 0 {
		l.More = number(int64(more), "")
	}
	return l
}

// mark names a set of permissions, so that nobody agrees to one set by having
// seen what another would do.
func mark(p admin.Permissions) string {
	text, err := json.Marshal(p)
	if err != nil { // wire types have nothing that JSON has not
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// showLost answers the form, as it is filled in, with what would be refused.
func (v *visit) showLost(f *keyForm, key *admin.Key) error {
	if wanted := f.permissions(); !samePermissions(wanted, key.Permissions, f.Gone) {
		f.Lost = v.lost(key.ID, wanted)
	}
	v.fragment(http.StatusOK, "lost", f)
	return nil
}

// unseen reports whether the change would refuse what the key did lately, and
// the visitor has not been shown that; f then shows it.
func (v *visit) unseen(f *keyForm, id string, patch admin.Patch) bool {
	if patch.Permissions == nil {
		return false
	}
	l := v.lost(id, *patch.Permissions)
	if l == nil || l.Refused == 0 || v.form.Get("accept") == l.Accept {
		return false
	}
	l.Unasked = true
	f.Lost = l
	return true
}
