package caddymodule

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-keywarden/keywarden/config"
)

// Severity says how bad a finding is.
type Severity string

// The severities: fine; worth knowing; to be mended.
const (
	Fine  Severity = "ok"
	Note  Severity = "note"
	Fault Severity = "fault"
)

// Finding is what an examination says of one thing.
type Finding struct {
	Severity Severity `json:"severity"`
	// About is what was looked at: configuration, routes, logs, proxies,
	// files, store, admin, nodes, clock, gateway.
	About string `json:"about"`
	// Text says what was found.
	Text string `json:"text"`
	// Mend says what to do; "" where there is nothing to do.
	Mend string `json:"mend,omitempty"`
}

// examination collects findings.
type examination struct{ findings []Finding }

func (e *examination) fine(about, format string, args ...any) {
	e.findings = append(e.findings, Finding{Fine, about, fmt.Sprintf(format, args...), ""})
}

func (e *examination) note(about, text, mend string) {
	e.findings = append(e.findings, Finding{Note, about, text, mend})
}

func (e *examination) fault(about, text, mend string) {
	e.findings = append(e.findings, Finding{Fault, about, text, mend})
}

// unredacted counts the logs that secrets can't be kept out of.
var unredacted atomic.Int64

// examineTimeout bounds each question to the store and to a running gateway.
const examineTimeout = 5 * time.Second

// Examine looks at a configuration file, and at what it leads to on this
// machine: files, the store, the gateways on it, and the one that runs here.
// It changes nothing, but that the store is brought up to date as by a start.
// The error says that the configuration could not be read at all.
func Examine(ctx context.Context, file, adapter string) ([]Finding, error) {
	text, err := readConfig(file, adapter)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	e := new(examination)
	if !e.validate(text) {
		return e.findings, nil
	}
	e.routes(text)
	g, err := settingsOf(text)
	if err != nil {
		e.fault("configuration", err.Error(), "mend the configuration")
		return e.findings, nil
	}
	e.files(g.settings)
	e.store(ctx, g.settings)
	e.gateway(ctx, text)
	return e.findings, nil
}

// validate provisions the configuration, as `keywarden validate` does.
func (e *examination) validate(text []byte) bool {
	quieted, err := quietLogs(text)
	if err != nil {
		e.fault("configuration", err.Error(), "mend the configuration")
		return false
	}
	before := unredacted.Load()
	if err := caddy.Validate(quieted); err != nil {
		e.fault("configuration", err.Error(), "mend the configuration; keywarden validate says the same")
		return false
	}
	e.fine("configuration", "can be loaded")
	if n := unredacted.Load() - before; n > 0 {
		e.fault("logs", fmt.Sprintf("with this version of Caddy secrets can't be kept out of %d logs", n),
			"use a version of Keywarden made for this Caddy, or the filter encoder for every log (documentation of Caddy's log directive)")
	} else {
		e.fine("logs", "secrets are kept out of every log that is configured")
	}
	return true
}

// quietLogs lets nothing that loading a configuration logs get in the way of
// what the examination says.
func quietLogs(text []byte) (*caddy.Config, error) {
	c := new(caddy.Config)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, err
	}
	c.Admin = &caddy.AdminConfig{Disabled: true}
	if c.Logging == nil {
		c.Logging = new(caddy.Logging)
	}
	if c.Logging.Logs == nil {
		c.Logging.Logs = map[string]*caddy.CustomLog{}
	}
	if c.Logging.Logs[caddy.DefaultLoggerName] == nil {
		c.Logging.Logs[caddy.DefaultLoggerName] = new(caddy.CustomLog)
	}
	for _, log := range c.Logging.Logs {
		log.Level = "FATAL"
		if log.WriterRaw != nil { // a file made here would be ours, not the gateway's
			log.WriterRaw = json.RawMessage(`{"output":"discard"}`)
		}
	}
	return c, nil
}

// settingsOf returns what a configuration says of the store.
func settingsOf(text []byte) (*Gateway, error) {
	var root struct {
		Apps struct {
			Keys config.App `json:"api_keys"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	return newGateway(&root.Apps.Keys)
}
