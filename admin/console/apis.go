package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-keywarden/keywarden/admin"
)

// apiList shows the declared APIs.
type apiList struct {
	APIs     []admin.API
	ReadOnly bool
}

func (v *visit) apis() (apiList, error) {
	found, _, err := v.client.APIs(v.r.Context())
	return apiList{APIs: found.Data, ReadOnly: !v.mayChange()}, err
}

func (v *visit) listAPIs() error {
	list, err := v.apis()
	if err != nil {
		return err
	}
	v.page(http.StatusOK, "apis", list)
	return nil
}

// endpointForm is the dialog about one endpoint.
type endpointForm struct {
	API, ID, Title string
	New            bool
	Faults         map[string]string
	Problem        string
	As             change
}

// First returns the first field that is wrong.
func (f *endpointForm) First() string {
	for _, field := range []string{"endpoint", "title"} {
		if f.Faults[field] != "" {
			return field
		}
	}
	return ""
}

func (v *visit) endpointForm() *endpointForm {
	return &endpointForm{
		API: v.form.Get("api"), ID: strings.TrimSpace(v.form.Get("id")), Title: v.form.Get("title"),
		New: v.form.Get("new") != "" || v.form.Get("id") == "",
	}
}

func (v *visit) askEndpoint() error {
	return v.dialog(http.StatusOK, "endpoint-dialog", v.endpointForm())
}

func (v *visit) putEndpoint() error {
	f := v.endpointForm()
	if v.form.Has("as") {
		body := admin.EndpointRequest{Title: f.Title}
		v.fragment(http.StatusOK, "as-texts", change{
			Curl:    v.curl("PUT", endpointPath(f), "", body),
			Command: shell("keywarden apis ", []string{"register", f.API + "/" + f.ID, "--title=" + f.Title}),
		})
		return nil
	}
	if f.ID == "" {
		f.Faults = map[string]string{"endpoint": "Expected the id of an endpoint."}
		return v.dialog(http.StatusUnprocessableEntity, "endpoint-dialog", f)
	}
	_, _, err := v.client.PutEndpoint(v.r.Context(), f.API, f.ID, f.Title)
	var problem *admin.Problem
	switch {
	case errors.As(err, &problem) && problem.Status != http.StatusUnauthorized:
		f.Faults = map[string]string{}
		for _, e := range problem.Errors {
			f.Faults[e.Field] = sentence(e.Message)
		}
		if f.First() == "" {
			f.Problem = sentence(problem.Error())
		}
		return v.dialog(problem.Status, "endpoint-dialog", f)
	case err != nil:
		return err
	}
	return v.refreshAPIs()
}

func (v *visit) askForget() error {
	f := v.endpointForm()
	f.As = change{Curl: v.curl("DELETE", endpointPath(f), "", nil), Command: shell("keywarden apis ", []string{"forget", f.API + "/" + f.ID})}
	return v.dialog(http.StatusOK, "forget-dialog", f)
}

func (v *visit) forgetEndpoint() error {
	f := v.endpointForm()
	err := v.client.DeleteEndpoint(v.r.Context(), f.API, f.ID)
	var problem *admin.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
		err = nil // somebody else was faster; or the configuration declares it, and it has no title
	}
	if err != nil {
		return err
	}
	return v.refreshAPIs()
}

func (v *visit) refreshAPIs() error {
	list, err := v.apis()
	if err != nil {
		return err
	}
	v.fragment(http.StatusOK, "apis-changed", list)
	return nil
}

func endpointPath(f *endpointForm) string {
	return "/v1/apis/" + url.PathEscape(f.API) + "/endpoints/" + url.PathEscape(f.ID)
}
