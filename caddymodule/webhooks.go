package caddymodule

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/admin"
	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/webhook"
)

// readWebhook reads an endpoint:
//
//	webhook <url> {
//		secret   <secret>...
//		events   <event>...
//		timeout  <duration>
//		insecure
//	}
func (a *App) readWebhook(d *caddyfile.Dispenser) error {
	start := where(d)
	url, err := argument(d, "a URL, such as https://hooks.example.com/keys")
	if err != nil {
		return err
	}
	w := config.Webhook{URL: url}
	err = newBlock("webhook").
		once("secret", words(&w.Secrets, "a secret, such as {env.WEBHOOK_SECRET}")).
		once("events", words(&w.Events, "names of events, such as api_key_deleted")).
		once("timeout", duration(&w.Timeout)).
		once("insecure", func(d *caddyfile.Dispenser) error { w.Insecure = true; return alone(d) }).
		read(d)
	if err != nil {
		return err
	}
	a.Webhooks = append(a.Webhooks, w)
	return located(w.Validate(), start)
}

func words(dst *[]string, expected string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) (err error) {
		*dst, err = arguments(d, expected)
		return err
	}
}

// expandWebhooks replaces placeholders. One that is empty is a fault: a webhook
// that someone forgot to set must not turn into none, or into an unsigned one.
// No message has a URL or a secret in it.
func expandWebhooks(all []config.Webhook, repl *caddy.Replacer) ([]webhook.Endpoint, error) {
	endpoints := make([]webhook.Endpoint, 0, len(all))
	for i := range all {
		e, err := expandWebhook(all[i], repl)
		if err != nil {
			return nil, fmt.Errorf("webhook %d: %w", i+1, err)
		}
		if same := slices.IndexFunc(endpoints, func(known webhook.Endpoint) bool { return known.ID() == e.ID() }); same >= 0 {
			return nil, fmt.Errorf("webhook %d: has the URL of webhook %d; expected each URL once, with all of its events", i+1, same+1)
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, nil
}

func expandWebhook(w config.Webhook, repl *caddy.Replacer) (_ webhook.Endpoint, err error) {
	if w.URL, err = repl.ReplaceOrErr(w.URL, true, true); err != nil {
		return webhook.Endpoint{}, fmt.Errorf("%w; expected a value for every placeholder", err)
	}
	w.Secrets = slices.Clone(w.Secrets) // the configuration keeps its placeholders
	for i, text := range w.Secrets {
		if w.Secrets[i], err = repl.ReplaceOrErr(text, true, true); err != nil {
			return webhook.Endpoint{}, fmt.Errorf("secret: %w; expected a value for every placeholder", err)
		}
	}
	return w.Endpoint()
}

// showWebhooks is what the admin API lists.
func showWebhooks(endpoints []webhook.Endpoint) []admin.Webhook {
	out := make([]admin.Webhook, len(endpoints))
	for i := range endpoints {
		e := &endpoints[i]
		out[i] = admin.Webhook{ID: e.ID(), Host: e.Host(), Events: e.Events, TimeoutSeconds: e.Timeout.Seconds()}
	}
	return out
}

// newSender returns what sends to webhooks, counted and logged.
func (e *engine) newSender() *webhook.Sender {
	sender := webhook.New(e.store)
	sender.Observe = func(to *webhook.Endpoint, d *keys.Delivery, r keys.DeliveryResult) {
		webhookAttempts[r.State].Inc()
		if r.State == keys.Failed {
			e.log.Load().Warn("a webhook was not told; it can be told again by POST /v1/webhooks/deliveries/{id}/retry",
				zap.String("webhook", to.Host()), zap.String("delivery", d.ID), zap.String("event", d.Event),
				zap.Int("attempts", d.Attempts), zap.String("error", r.Error))
		}
	}
	return sender
}
