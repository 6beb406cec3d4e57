package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// hookSecret is the specification's example.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestAWebhookHasDefaults(t *testing.T) {
	w := Webhook{URL: " https://hooks.example.com/keys\n", Secrets: []string{hookSecret + "\n"}} // as from files
	e, err := w.Endpoint()
	if err != nil {
		t.Fatal(err)
	}
	if e.URL.String() != "https://hooks.example.com/keys" || e.Timeout != 15*time.Second || len(e.Secrets) != 1 {
		t.Errorf("endpoint %+v", e)
	}
	if diff := cmp.Diff(keys.ChangeEvents, e.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWhatIsConfiguredOfAWebhookCounts(t *testing.T) {
	var app App
	text := `{"webhooks": [{"url": "http://audit.internal/", "secrets": ["` + hookSecret + `", "` + hookSecret + `"], "events": ["api_key_leaked"], "timeout": "2s", "insecure": true}]}`
	if err := json.Unmarshal([]byte(text), &app); err != nil {
		t.Fatal(err)
	}
	if err := app.Validate(); err != nil {
		t.Fatal(err)
	}
	e, err := app.Webhooks[0].Endpoint()
	if err != nil || e.Host() != "audit.internal" || e.Timeout != 2*time.Second || len(e.Secrets) != 2 || cmp.Diff([]string{"api_key_leaked"}, e.Events) != "" {
		t.Errorf("endpoint %+v, %v", e, err)
	}
}

func TestEveryFaultOfAWebhookIsToldAtOnceAndNoSecret(t *testing.T) {
	hour := Duration(time.Hour)
	err := (&App{Webhooks: []Webhook{
		{URL: "http://hooks.example.com/T0ken", Secrets: []string{"hush"}, Events: []string{"created", keys.EventRefused}, Timeout: &hour},
		{},
	}}).Validate()
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, want := range []string{
		"found http; expected https", "secret: expected whsec_", `event "created"`, "api_key_refused is an event of a request", "timeout 1h0m0s",
		"found no URL", "secret: found none",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	for _, secret := range []string{"hush", "T0ken"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is shown: %v", secret, err)
		}
	}
}

func TestPlaceholdersAreJudgedWhenTheyAreKnown(t *testing.T) {
	w := Webhook{URL: "{env.HOOK_URL}", Secrets: []string{"{env.HOOK_SECRET}"}}
	if err := w.Validate(); err != nil {
		t.Error(err)
	}
	for _, known := range []Webhook{
		{URL: "http://hooks.example.com/", Secrets: []string{hookSecret}},
		{URL: "https://hooks.example.com/", Secrets: []string{hookSecret, "hush"}},
		{URL: "https://hooks.example.com/", Secrets: []string{""}},
	} {
		if _, err := known.Endpoint(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%+v: %v", known, err)
		}
	}
}
