package caddymodule

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/admin"
)

const (
	// bootstrapTime bounds one try to make the first admin key: a store that
	// hangs must not keep the gateway from starting.
	bootstrapTime = 8 * time.Second
	// bootstrapEvery is how often it is tried while the store is down.
	bootstrapEvery = 500 * time.Millisecond
)

// bootstrap makes the first admin key, where there is an admin API and no way
// in. If the store is down, the gateway starts all the same, and the key is
// made when the store is there.
func (a *App) bootstrap() error {
	if len(a.admins) == 0 || a.settings.AdminKey != "" {
		return nil
	}
	err := a.tryBootstrap(context.Background(), a.log)
	if err == nil || a.storeAnswers() {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	a.endBootstrapping = func() { cancel(); <-done }
	go func() {
		defer close(done)
		a.keepBootstrapping(ctx, err)
	}()
	return nil
}

// storeAnswers tells a store that is down from any other fault.
func (a *App) storeAnswers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), bootstrapTime)
	defer cancel()
	return a.engine.store.Ping(ctx) == nil
}

func (a *App) keepBootstrapping(ctx context.Context, err error) {
	log := quiet(a.log)
	for err != nil {
		log.Warn("the first admin key will be made when the key store can be reached", zap.Error(err))
		select {
		case <-time.After(bootstrapEvery):
		case <-ctx.Done():
			return
		}
		err = a.tryBootstrap(ctx, a.log)
	}
}

// endBootstrap ends what bootstrap left to be tried.
func (a *App) endBootstrap() {
	if a.endBootstrapping != nil {
		a.endBootstrapping()
		a.endBootstrapping = nil
	}
}

// tryBootstrap makes the first admin key if there is none. The log says where
// the secret is, never what it is.
func (a *App) tryBootstrap(ctx context.Context, log *zap.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, bootstrapTime)
	defer cancel()
	path, created, err := admin.Bootstrap(ctx, a.engine.store, admin.BootstrapOptions{
		Dir:       besideStore(a.settings.Store),
		KeyPrefix: a.settings.KeyPrefix,
	})
	switch {
	case err != nil:
		return fmt.Errorf("making the first admin key: %w", err)
	case created:
		log.Info("first start: made an admin key; its secret is in this file, readable by its owner only", zap.String("file", path))
	case path != "":
		log.Warn("no admin key is stored, and none was made, because the file of an earlier one is there; "+
			"delete the file and start again, or run: keywarden login --config Caddyfile", zap.String("file", path))
	}
	return nil
}
