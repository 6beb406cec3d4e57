package caddymodule

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-keywarden/keywarden/config"
)

func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Errf("the global option %s is given twice; expected it once", appName)
	}
	var app App
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(&app, nil)}, nil
}

// UnmarshalCaddyfile reads the global option. Syntax:
//
//	api_keys {
//		store      sqlite [<path>]
//		store      postgres <address> {
//			listen <address>
//		}
//		key_prefix <prefix>
//		admin_key  <secret>
//		cache {
//			max_keys       <number>
//			ttl            <duration>
//			unknown_ttl    <duration>
//			stale_if_error <duration>
//			lookups        <number>/s
//			warm           <number>
//		}
//		usage      off
//		usage {
//			keep <duration>
//		}
//		webhook <url> {
//			secret   <secret>...
//			events   <event>...
//			timeout  <duration>
//			insecure
//		}
//		node       <name>
//	}
//
// Every option may be left out; webhook may stand several times. Placeholders
// in store, admin_key, webhook and node, such as {env.NAME}, are replaced at load.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	start := where(d)
	err := newBlock(appName).
		once("store", a.readStore).
		once("key_prefix", text(&a.KeyPrefix, "a prefix, such as acme")).
		once("admin_key", text(&a.AdminKey, "a secret, such as {env.KEYWARDEN_ADMIN_KEY}")).
		once("cache", a.readCache).
		once("usage", a.readUsage).
		several("webhook", a.readWebhook).
		once("node", text(&a.Node, "a name, such as gw-1 or {env.NODE_NAME}")).
		read(d)
	if err != nil {
		return err
	}
	return located(a.App.Validate(), start)
}

func (a *App) readStore(d *caddyfile.Dispenser) error {
	const expected = "sqlite [PATH] or postgres ADDRESS"
	args, err := arguments(d, expected)
	if err != nil {
		return err
	}
	if len(args) > 2 {
		return d.Errf("store: found %d arguments; expected %s (an address of several words in quotes)", len(args), expected)
	}
	start := where(d)
	a.Store = &config.Store{Kind: args[0]}
	if len(args) == 2 {
		a.Store.Address = args[1]
	}
	listen := text(&a.Store.Listen, "an address, such as {env.DATABASE_DIRECT_URL}")
	if err := newBlock("store").once("listen", listen).read(d); err != nil {
		return err
	}
	return located(a.Store.Validate(), start)
}

func (a *App) readCache(d *caddyfile.Dispenser) error {
	a.Cache = new(config.Cache)
	return newBlock("cache").
		once("max_keys", integer(&a.Cache.MaxKeys, "a number of keys, such as 100000")).
		once("ttl", duration(&a.Cache.TTL)).
		once("unknown_ttl", duration(&a.Cache.UnknownTTL)).
		once("stale_if_error", duration(&a.Cache.StaleIfError)).
		once("lookups", a.readLookups).
		once("warm", integer(&a.Cache.Warm, "a number of keys, such as 10000")).
		read(d)
}

// readUsage reads "usage off", or a block.
func (a *App) readUsage(d *caddyfile.Dispenser) error {
	a.Usage = new(config.Usage)
	if d.CountRemainingArgs() == 0 {
		return newBlock("usage").once("keep", duration(&a.Usage.Keep)).read(d)
	}
	word, err := argument(d, "off, or a block")
	if err != nil {
		return err
	}
	if word != "off" {
		return d.Errf("usage: found %q; expected off, or a block", word)
	}
	a.Usage.Off = true
	return nil
}

func (a *App) readLookups(d *caddyfile.Dispenser) error {
	arg, err := argument(d, "a rate, such as 500/s")
	if err != nil {
		return err
	}
	rate, err := config.ParseRate(arg)
	if err != nil {
		return d.Errf("lookups: %w", err)
	}
	a.Cache.Lookups = &rate
	return nil
}
