package console

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/caddy-keywarden/keywarden/admin"
)

// question is a dialog that asks before something is done to a key.
type question struct {
	keyRow
	ETag    string
	Enable  bool
	Problem string
	As      change
	Graces  []grace
	Lately  string // how much the key was used of late
}

// ask shows a question about the key that the form names.
func (v *visit) ask(name, id string, problem *admin.Problem) error {
	key, answer, err := v.client.Get(v.r.Context(), id)
	if err != nil {
		return err
	}
	q := question{keyRow: v.row(&key), ETag: answer.ETag, Enable: !key.Enabled, Graces: graces}
	status := http.StatusOK
	if problem != nil {
		status, q.Problem = problem.Status, sentence(problem.Error())
		if status == http.StatusPreconditionFailed {
			q.Problem = "Somebody changed this key meanwhile, and nothing was done. This is the key as it is now."
		}
	}
	q.Lately = v.lately(&q.keyRow)
	switch name {
	case "delete-dialog":
		q.As = change{Curl: v.curl("DELETE", keyPath(id), q.ETag, nil), Command: command("delete", id)}
	case "switch-dialog":
		verb := "disable"
		if q.Enable {
			verb = "enable"
		}
		q.As = change{Curl: v.curl("PATCH", keyPath(id), q.ETag, admin.Patch{Enabled: &q.Enable}), Command: command(verb, id)}
	case "rotate-dialog":
		q.As = v.rotation(id, q.ETag, 0)
	}
	return v.dialog(status, name, q)
}

// again asks the same once more where the API refused, and says why.
func (v *visit) again(name string, err error) error {
	var problem *admin.Problem
	if !errors.As(err, &problem) || problem.Status == http.StatusUnauthorized || problem.Status == http.StatusNotFound {
		return err
	}
	return v.ask(name, v.form.Get("id"), problem)
}

func (v *visit) askDelete() error { return v.ask("delete-dialog", v.form.Get("id"), nil) }

func (v *visit) deleteKey() error {
	id := v.form.Get("id")
	if _, err := v.client.Delete(v.r.Context(), id, v.form.Get("etag")); err != nil {
		return v.again("delete-dialog", err)
	}
	if id == v.me.ID { // its session is over
		v.w.Header().Set("HX-Redirect", link("signin", url.Values{"ended": {"1"}}))
		v.Sessions.Close(v.w, v.r, v.site())
		return nil
	}
	if v.onKeyPage() {
		v.w.Header().Set("HX-Redirect", "./")
		return nil
	}
	list, err := v.current()
	if err != nil {
		return err
	}
	v.fragment(http.StatusOK, "deleted", list)
	return nil
}

func (v *visit) askSwitch() error { return v.ask("switch-dialog", v.form.Get("id"), nil) }

func (v *visit) switchKey() error {
	enable := v.form.Get("to") == "enable"
	changed, _, err := v.client.Patch(v.r.Context(), v.form.Get("id"), admin.Patch{Enabled: &enable}, v.form.Get("etag"))
	if err != nil {
		return v.again("switch-dialog", err)
	}
	return v.showChanged(&changed)
}

// grace is how long an earlier secret goes on working.
type grace struct {
	Word, Label string
	Time        time.Duration
}

var graces = []grace{
	{"0", "None: it stops at once", 0},
	{"1h", "1 hour", time.Hour},
	{"1d", "1 day", 24 * time.Hour},
	{"7d", "7 days", 7 * 24 * time.Hour},
	{"30d", "30 days", 30 * 24 * time.Hour},
}

func (v *visit) askRotate() error { return v.ask("rotate-dialog", v.form.Get("id"), nil) }

func (v *visit) rotateKey() error {
	id, etag := v.form.Get("id"), v.form.Get("etag")
	var chosen time.Duration
	for _, g := range graces {
		if g.Word == v.form.Get("grace") {
			chosen = g.Time
		}
	}
	if v.form.Has("as") {
		v.fragment(http.StatusOK, "as-texts", v.rotation(id, etag, chosen))
		return nil
	}
	made, _, err := v.client.Rotate(v.r.Context(), id, chosen, etag)
	if err != nil {
		return v.again("rotate-dialog", err)
	}
	row := v.row(&made.Key)
	v.fragment(http.StatusOK, "rotated", shown{Key: &made.Key, Secret: made.Secret, Rotated: true, Ends: row.Previous, Row: &row})
	return nil
}
