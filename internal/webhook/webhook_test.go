package webhook

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestMessagesGoEncryptedOrStayOnTheMachine(t *testing.T) {
	for _, c := range []struct {
		url      string
		insecure bool
		fault    string // "" for none
	}{
		{"https://hooks.example.com/keys?token=x", false, ""},
		{"https://hooks.example.com:8443", false, ""},
		{"http://localhost:9000/hook", false, ""},
		{"http://127.0.0.1:9000/hook", false, ""},
		{"http://[::1]:9000/hook", false, ""},
		{"http://hooks.internal/keys", true, ""},
		{"http://hooks.internal/keys", false, "found http; expected https"},
		{"http://localhost.example.com/", false, "found http"},
		{"http://10.0.0.1/", false, "found http"},
		{"ftp://hooks.example.com/", true, "expected a URL"},
		{"hooks.example.com/keys", true, "expected a URL"},
		{"https:hooks", true, "expected a URL"},
		{"https://", true, "expected a URL"},
		{"", true, "expected a URL"},
		{"https://a b/", true, "expected a URL"},
		{"https://user:s3cret@hooks.example.com/", false, "found a user"},
		{"https://hooks.example.com/#x", false, "found a fragment"},
	} {
		_, err := ParseURL(c.url, c.insecure)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s, insecure %v: %v, want %q", c.url, c.insecure, err, c.fault)
		}
		if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "hooks.internal")) {
			t.Errorf("the URL is repeated: %v", err)
		}
	}
}

func TestAnEndpointIsKnownByItsURLWhichIsNotShown(t *testing.T) {
	ids := map[string]bool{}
	for _, text := range []string{"https://h.example.com/T0ken", "https://h.example.com/T0ken2", "https://h.example.com:444/T0ken"} {
		u, err := ParseURL(text, false)
		if err != nil {
			t.Fatal(err)
		}
		e := Endpoint{URL: u}
		if ids[e.ID()] || strings.Contains(e.ID()+e.Host(), "T0ken") || !strings.HasPrefix(e.ID(), "wh_") {
			t.Errorf("%s is %s at %s", text, e.ID(), e.Host())
		}
		ids[e.ID()] = true
	}
}

func TestEveryActionOfAKeyIsAnEvent(t *testing.T) {
	all := Endpoint{Events: keys.ChangeEvents}
	want := map[string]string{
		"create": "api_key_created", "import": "api_key_created", "bootstrap": "api_key_created",
		"update": "api_key_updated", "enable": "api_key_updated", "disable": "api_key_updated", "rotate": "api_key_updated",
		"delete": "api_key_deleted", "leak": "api_key_leaked",
	}
	if diff := cmp.Diff(want, all.actions()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	one := Endpoint{Events: []string{keys.EventDeleted}}
	if diff := cmp.Diff(map[string]string{"delete": "api_key_deleted"}, one.actions()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, action := range []string{"put_endpoint", "delete_endpoint", "", "api_key_created"} {
		if event := keys.EventOf(action); event != "" {
			t.Errorf("%q is %s", action, event)
		}
	}
}

func TestAnEventThatIsNotToldSaysSo(t *testing.T) {
	for _, name := range keys.ChangeEvents {
		if err := CheckEvent(name); err != nil {
			t.Error(err)
		}
	}
	for name, want := range map[string]string{
		keys.EventRefused: "Caddy's global option events", "api_key_create": "expected one of", "": "expected one of",
	} {
		if err := CheckEvent(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
