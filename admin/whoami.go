package admin

import (
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// whoami is GET /v1/whoami.
func (a *api) whoami(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	if c.actor.ID() == keys.ConfigID {
		return Whoami{
			ID: string(keys.ConfigID), Name: c.actor.Name(), Prefix: c.actor.Prefix(),
			Permissions: showPermissions(permission.Set{}), Admin: c.actor.Admin.String(), Enabled: true,
			Status: string(keys.Active), CreatedBy: string(keys.ConfigID), Metadata: map[string]string{}, Sources: []string{},
		}, nil
	}
	stored, err := a.Store.Get(c.ctx, c.actor.ID(), c.now)
	if err != nil {
		return nil, err
	}
	k := c.show(stored)
	return Whoami{
		ID: k.ID, Name: k.Name, Owner: k.Owner, Prefix: k.Prefix, Permissions: k.Permissions, Admin: k.Admin,
		Enabled: k.Enabled, Status: k.Status, Legacy: k.Legacy, ExpiresAt: k.ExpiresAt, CreatedAt: &k.CreatedAt,
		UpdatedAt: &k.UpdatedAt, CreatedBy: k.CreatedBy, LastUsedAt: k.LastUsedAt, Rotation: k.Rotation, Metadata: k.Metadata,
		Sources: k.Sources,
	}, nil
}

// health is GET /healthz: this process answers.
func (a *api) health(*call) (any, error) { return Health{Status: "ok"}, nil }

// ready is GET /readyz. It needs no key, so the reason goes to the log only,
// and once: probes ask every few seconds, however long the store is down.
func (a *api) ready(c *call) (any, error) {
	if err := a.Ready(c.ctx); err != nil {
		if c.ctx.Err() == nil && !a.unready.Swap(true) {
			a.Logger.WarnContext(c.ctx, "not ready", "error", err)
		}
		return nil, errNotReady
	}
	if a.unready.Swap(false) {
		a.Logger.InfoContext(c.ctx, "ready again")
	}
	return Health{Status: "ok"}, nil
}
