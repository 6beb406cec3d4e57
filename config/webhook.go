package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/webhook"
)

// Webhook is an endpoint that is told what happens to keys, in messages that are
// signed as https://www.standardwebhooks.com says.
type Webhook struct {
	// Where messages are sent by POST: an https URL. On this machine (`localhost`
	// or a loopback address), or with `insecure`, http will do. Placeholders
	// are replaced at load.
	URL string `json:"url"`
	// What messages are signed with: `whsec_` and 24 to 64 random bytes in
	// base64; best are placeholders, such as `{env.WEBHOOK_SECRET}`, which are
	// replaced at load. With several, messages carry a signature by each, so
	// that the receiver can change to another one at any time.
	Secrets []string `json:"secrets"`
	// What is told: `api_key_created`, `api_key_updated`, `api_key_deleted`,
	// `api_key_leaked`. Default: all of them.
	Events []string `json:"events,omitempty"`
	// How long the receiver may take to answer, 1s to 60s. Default: 15s.
	Timeout *Duration `json:"timeout,omitempty"`
	// If true, messages may go over http to other machines.
	Insecure bool `json:"insecure,omitempty"`
}

const (
	leastWebhookTimeout = time.Second
	mostWebhookTimeout  = time.Minute
	// A header with more signatures is a mistake: a rotation needs two.
	mostWebhookSecrets = 5
)

// Endpoint returns where messages go, from w with its placeholders replaced.
func (w *Webhook) Endpoint() (webhook.Endpoint, error) {
	e := webhook.Endpoint{Events: w.Events, Timeout: webhook.DefaultTimeout}
	var err error
	if e.URL, err = webhook.ParseURL(strings.TrimSpace(w.URL), w.Insecure); err != nil {
		return e, err
	}
	for _, text := range w.Secrets {
		secret, err := webhook.ParseSecret(strings.TrimSpace(text)) // one from a file ends with its line
		if err != nil {
			return e, fmt.Errorf("secret: %w", err)
		}
		e.Secrets = append(e.Secrets, secret)
	}
	if len(e.Events) == 0 {
		e.Events = keys.ChangeEvents
	}
	if w.Timeout != nil {
		e.Timeout = time.Duration(*w.Timeout)
	}
	return e, nil
}

// Validate returns every fault of w that shows before placeholders are replaced.
func (w *Webhook) Validate() error {
	var faults []error
	if strings.TrimSpace(w.URL) == "" {
		faults = append(faults, fault("", "webhook: found no URL; expected one, such as https://hooks.example.com/keys"))
	} else if !hasPlaceholder(w.URL) {
		_, err := webhook.ParseURL(w.URL, w.Insecure)
		faults = append(faults, wrap("webhook: ", err))
	}
	faults = append(faults, wrap("webhook: secret: ", w.checkSecrets()))
	for i, name := range w.Events {
		err := webhook.CheckEvent(name)
		if slices.Contains(w.Events[:i], name) {
			err = fmt.Errorf("%s is given twice; expected it once", name)
		}
		faults = append(faults, wrap("webhook: events: ", err))
	}
	if w.Timeout != nil && (time.Duration(*w.Timeout) < leastWebhookTimeout || time.Duration(*w.Timeout) > mostWebhookTimeout) {
		faults = append(faults, fault("", "webhook: timeout %s: expected 1s to 60s", w.Timeout))
	}
	return errors.Join(faults...)
}

func (w *Webhook) checkSecrets() error {
	switch n := len(w.Secrets); {
	case n == 0:
		return errors.New("found none; expected one, such as {env.WEBHOOK_SECRET}")
	case n > mostWebhookSecrets:
		return fmt.Errorf("found %d; expected 1 to %d", n, mostWebhookSecrets)
	}
	for _, text := range w.Secrets {
		if hasPlaceholder(text) {
			continue
		}
		if _, err := webhook.ParseSecret(text); err != nil {
			return err
		}
	}
	return nil
}

// hasPlaceholder says that a text is to be judged when it is known.
func hasPlaceholder(text string) bool { return strings.Contains(text, "{") }
