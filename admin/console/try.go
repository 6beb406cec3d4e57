package console

import (
	"errors"
	"net/http"
	"strings"

	"github.com/caddy-keywarden/keywarden/admin"
)

// tryPage asks what the gateway would decide.
type tryPage struct {
	Key, Method, Path string
	Faults            map[string]string
	Result            *tried
}

// tried is a decision.
type tried struct {
	admin.CheckAnswer
	Name, Prefix string // of the key
	change
}

// Methods are offered; any other may be typed.
func (tryPage) Methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

func (v *visit) tryForm() error {
	v.page(http.StatusOK, "try", tryPage{Key: v.form.Get("key"), Method: "GET", Path: "/"})
	return nil
}

// try asks the API for the decision. A whole secret is taken as well, and
// never shown again.
func (v *visit) try() error {
	p := tryPage{
		Key: strings.TrimSpace(v.form.Get("key")), Method: strings.ToUpper(strings.TrimSpace(v.form.Get("method"))),
		Path: strings.TrimSpace(v.form.Get("path")), Faults: map[string]string{},
	}
	ask := admin.CheckRequest{Method: p.Method, Path: p.Path}
	key, err := v.named(p.Key)
	if err != nil {
		return err
	}
	switch {
	case key != nil:
		ask.ID = key.ID
	case p.Key == "":
		p.Faults["key"] = "Expected the prefix or the id of a key."
	default:
		ask.Secret, p.Key = p.Key, ""
	}
	if len(p.Faults) == 0 {
		if err := v.check(&p, ask, key); err != nil {
			return err
		}
	}
	status := http.StatusOK
	if p.Result == nil {
		status = http.StatusUnprocessableEntity
	}
	v.fragment(status, "try", p)
	return nil
}

// named returns the key with this id or prefix, nil if there is none.
func (v *visit) named(text string) (*admin.Key, error) {
	const longest = 128 // of ids; secrets are not searched for
	if text == "" || len(text) > longest {
		return nil, nil
	}
	found, _, err := v.client.List(v.r.Context(), admin.KeyFilter{Text: text})
	var problem *admin.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusUnprocessableEntity {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i, key := range found.Data {
		if key.ID == text || key.Prefix == text {
			return &found.Data[i], nil
		}
	}
	return nil, nil
}

func (v *visit) check(p *tryPage, ask admin.CheckRequest, key *admin.Key) error {
	answer, _, err := v.client.Check(v.r.Context(), ask)
	var problem *admin.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusUnprocessableEntity {
		for _, e := range problem.Errors {
			p.Faults[e.Field] = sentence(e.Message)
		}
		return nil
	}
	if err != nil {
		return err
	}
	p.Result = &tried{CheckAnswer: answer}
	if key != nil {
		p.Result.Name, p.Result.Prefix = key.Name, key.Prefix
		p.Result.change = change{Curl: v.curl("POST", "/v1/keys/check", "", ask), Command: command("check", ask.ID, ask.Method, ask.Path)}
	}
	return nil
}
