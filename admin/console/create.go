package console

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-keywarden/keywarden/admin"
)

// shown is a secret on its one way to whoever asked for it: from the API's
// answer into this answer, and nowhere else.
type shown struct {
	Key     *admin.Key
	Secret  string
	Rotated bool
	Ends    moment // of the earlier secret
	List    *keyList
	Row     *keyRow
}

// newKey asks what the key is to be.
func (v *visit) newKey() error {
	apis, _, err := v.client.APIs(v.r.Context())
	if err != nil {
		return err
	}
	return v.dialog(http.StatusOK, "key-dialog", emptyForm(apis.Data))
}

// createKey makes the key and shows its secret.
func (v *visit) createKey() error {
	apis, _, err := v.client.APIs(v.r.Context())
	if err != nil {
		return err
	}
	f := emptyForm(apis.Data)
	f.read(v.form)
	wanted := admin.CreateRequest{Owner: f.Owner, Permissions: f.permissions(), ExpiresAt: f.expiresAt(v.form.Get("instant"), v.now)}
	if list := f.sources(); len(list) > 0 {
		wanted.Sources = list
	}
	if f.Admin != "none" {
		wanted.Admin = f.Admin
	}
	if name := strings.TrimSpace(f.Name); name != "" {
		wanted.Name = &f.Name
	}
	if len(f.Faults) > 0 {
		return v.dialog(http.StatusUnprocessableEntity, "key-dialog", f)
	}
	if v.form.Has("as") {
		v.fragment(http.StatusOK, "as-texts", v.creation(wanted))
		return nil
	}
	made, _, err := v.client.Create(v.r.Context(), wanted)
	if err != nil {
		return v.refuseForm(f, err)
	}
	list, err := v.current()
	if err != nil { // the key is made: its secret must not be lost with the list
		v.Logger.WarnContext(v.r.Context(), "listing keys after one was made", "error", err)
	}
	v.fragment(http.StatusOK, "created", shown{Key: &made.Key, Secret: made.Secret, List: list})
	return nil
}

// refuseForm shows the form again, with what is wrong beside its fields.
func (v *visit) refuseForm(f *keyForm, err error) error {
	var problem *admin.Problem
	if !errors.As(err, &problem) || problem.Status == http.StatusUnauthorized {
		return err
	}
	f.refuse(problem)
	return v.dialog(problem.Status, "key-dialog", f)
}

// dialog answers a script with a dialog. Somebody who typed its address gets
// the list.
func (v *visit) dialog(status int, name string, data any) error {
	if !v.partial() {
		v.see("./")
		return nil
	}
	v.w.Header().Set("HX-Retarget", "#dialog")
	v.w.Header().Set("HX-Reswap", "innerHTML")
	v.fragment(status, name, data)
	return nil
}
