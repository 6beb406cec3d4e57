package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// Gateway is the gateway that a configuration file on this machine describes,
// whether it runs or not. It serves the command line, which has no other way
// in before there is a first admin key.
type Gateway struct {
	address  string
	settings config.Settings
	store    keys.Store
}

// OpenGateway reads a configuration with the named adapter ("": by the file's
// name) and opens its store. It starts nothing.
func OpenGateway(ctx context.Context, file, adapter string) (*Gateway, error) {
	text, err := readConfig(file, adapter)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var root struct {
		Apps struct {
			Keys config.App      `json:"api_keys"`
			HTTP json.RawMessage `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	g, err := newGateway(&root.Apps.Keys)
	if err != nil {
		return nil, err
	}
	if g.address, err = adminAddress(root.Apps.HTTP); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	g.store, err = openStore(ctx, g.settings.Store, keys.Options{})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// newGateway fills in what a configuration of the app comes to; no store is
// opened yet.
func newGateway(app *config.App) (*Gateway, error) {
	if err := app.Validate(); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	g := &Gateway{settings: app.Settings(caddy.AppDataDir())}
	repl := caddy.NewReplacer()
	var err error
	if g.settings.Store, err = expandStore(g.settings.Store, repl); err != nil {
		return nil, err
	}
	// The gateway's environment need not be ours: an admin key that can't be
	// read here is one that can't be compared with, and no more.
	if g.settings.AdminKey, err = expandAdminKey(g.settings.AdminKey, repl); err != nil {
		g.settings.AdminKey = ""
	}
	return g, nil
}

// Address returns where the admin API is reached.
func (g *Gateway) Address() string { return g.address }

// Accepts says whether secret is an admin key, and with which access.
func (g *Gateway) Accepts(ctx context.Context, secret string) (access string, ok bool, err error) {
	if configured := configAdmin(g.settings.AdminKey); configured != nil {
		if given := keys.Digest(sha256.Sum256([]byte(secret))); given.Is(configured) {
			return permission.Write.String(), true, nil
		}
	}
	parsed, err := keys.ForeignSecret(secret)
	if err != nil {
		return "", false, nil //nolint:nilerr // what is no secret is not accepted
	}
	id, err := g.store.Find(ctx, parsed.Digest())
	switch {
	case errors.Is(err, keys.ErrNoSuchKey):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("asking the key store: %w", err)
	}
	if id.Status(time.Now().UnixMilli()) != keys.Active || id.Admin == permission.None {
		return "", false, nil
	}
	return id.Admin.String(), true, nil
}

// MakeAdminKey makes an admin key with write access, whatever other keys
// exist, and returns its secret. Who can open the store could write any key
// into it anyway.
func (g *Gateway) MakeAdminKey(ctx context.Context, name string) (string, error) {
	secret, err := keys.NewSecret(g.settings.KeyPrefix, nil)
	if err != nil {
		return "", err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	by := keys.By{Actor: keys.ID(name), At: now}
	err = g.store.Create(ctx, by, "create", []keys.New{{
		Key: keys.Key{
			ID: keys.NewID(), Name: name, Prefix: secret.Prefix(), Admin: permission.Write, Enabled: true,
			CreatedAt: now, UpdatedAt: now, CreatedBy: by.Actor, Metadata: map[string]string{}, Version: 1,
		},
		Digest: secret.Digest(),
	}})
	if err != nil {
		return "", fmt.Errorf("storing the admin key: %w", err)
	}
	return secret.Reveal(), nil
}

// Close closes the store.
func (g *Gateway) Close() error { return g.store.Close() }
