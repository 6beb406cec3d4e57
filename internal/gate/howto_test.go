package gate

import (
	"testing"
	"time"
)

func TestWhoSendsNoKeyIsToldWhereItBelongs(t *testing.T) {
	for _, c := range []struct {
		name        string
		credentials Credentials
		want        string
	}{
		{"default", DefaultCredentials(), `this request needs an API key: send it as "Authorization: Bearer KEY" or "X-Api-Key: KEY"`},
		{"a query alone", Credentials{Queries: []string{"api_key"}}, `this request needs an API key: send it as "?api_key=KEY" in the URL`},
		{"basic alone", Credentials{Basic: true}, "this request needs an API key: send it as the user name of Basic authentication, with an empty password"},
		{"nowhere", Credentials{}, "this request needs an API key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newBench(t, testOptions).gate(t, contractConfig(), c.credentials)
			d := g.Decide(request("GET", "/rest/users", ""), time.Now())
			if d.Outcome != MissingKey || d.Detail() != c.want {
				t.Errorf("%s: %q, want %q", d.Outcome.Code(), d.Detail(), c.want)
			}
		})
	}
}
