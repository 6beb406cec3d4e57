package caddymodule

import (
	"context"
	"fmt"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/admin"
)

// bootstrap makes the first admin key, where there is an admin API and no way
// in. The log says where the secret is, never what it is.
func (a *App) bootstrap(ctx context.Context) error {
	if len(a.admins) == 0 || a.settings.AdminKey != "" {
		return nil
	}
	path, created, err := admin.Bootstrap(ctx, a.engine.store, admin.BootstrapOptions{
		Dir:       filepath.Dir(a.settings.Store.Address),
		KeyPrefix: a.settings.KeyPrefix,
	})
	switch {
	case err != nil:
		return fmt.Errorf("making the first admin key: %w", err)
	case created:
		a.log.Info("first start: made an admin key; its secret is in this file, readable by its owner only", zap.String("file", path))
	case path != "":
		a.log.Warn("no admin key is stored, and none was made, because the file of an earlier one is there; "+
			"delete the file and start again, or run: keywarden login --config Caddyfile", zap.String("file", path))
	}
	return nil
}
