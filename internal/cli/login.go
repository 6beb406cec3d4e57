package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

const loginLong = `
Asks for an admin key without showing it, checks it with the admin API at URL,
and saves it for keywarden keys, readable by you alone, in
$XDG_CONFIG_HOME/keywarden/credentials.json. A saved key is sent to no other
address. From a pipe it reads a line. Without URL the address is that of
--address, KEYWARDEN_ADDRESS or the saved login (default http://localhost:2020).

With --config it needs no key and no running gateway: on the gateway's own
machine it makes an admin key named cli@HOST in the store that the
configuration names, whatever other keys exist, and saves it. If the saved key
works there, it is kept and none is made.`

const loginExample = `  keywarden login
  keywarden login https://keys.example.com
  keywarden login --config Caddyfile
  keywarden login < admin.key`

const logoutLong = `
Forgets the saved admin key on this machine. The key itself goes on working: to
end that, see keywarden keys delete.`

// login fills in the command "login".
func (p *program) login(cmd *cobra.Command) {
	cmd.Use = "login [URL] [--config FILE [--adapter NAME]]"
	cmd.DisableFlagsInUseLine = true
	cmd.Example = loginExample
	cmd.SetFlagErrorFunc(p.flagFault)
	addAddressFlag(cmd)
	cmd.Flags().StringP("config", "c", "", "Make an admin key in the store of this configuration `file`")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter, where the file's name does not tell")
	p.action(cmd, []string{"[URL]"}, runLogin)
}

func runLogin(ctx context.Context, i *invocation) error {
	config, err := i.cmd.Flags().GetString("config")
	if err != nil {
		return usagef("%v", err)
	}
	adapter, err := i.cmd.Flags().GetString("adapter")
	if err != nil {
		return usagef("%v", err)
	}
	address, err := i.loginAddress()
	if err != nil {
		return err
	}
	switch {
	case i.cmd.Flags().Changed("config") && config == "":
		return usagef("--config: expected a file")
	case config != "":
		return i.loginHere(ctx, config, adapter, address)
	case adapter != "":
		return usagef("--adapter: belongs to --config, which is missing")
	}
	return i.loginThere(ctx, address)
}

// loginAddress returns the address that was given, as URL, by flag or by the
// environment; "" for none.
func (i *invocation) loginAddress() (string, error) {
	if len(i.args) == 0 {
		return i.givenAddress()
	}
	if i.cmd.Flags().Changed("address") {
		return "", usagef("found URL and --address; give one of them")
	}
	address, err := admin.ParseAddress(i.args[0])
	if err != nil {
		return "", usagef("URL: %v", err)
	}
	return address, nil
}

// loginThere asks for a key, and saves it if the API at address accepts it.
func (i *invocation) loginThere(ctx context.Context, address string) error {
	file, err := i.credentials()
	if err != nil {
		return err
	}
	if address == "" {
		login, _, err := file.load()
		if err != nil && !errors.Is(err, errNoLogin) {
			i.note("Warning: %s", printable(err.Error())) // it is about to be replaced
		}
		address = first(login.Address, admin.DefaultAddress)
	}
	i.warnInClear(address)
	key, err := i.askSecret(ctx, "Admin key for "+address+": ")
	if err != nil {
		return fmt.Errorf("not logged in: %w", err)
	}
	if key == "" {
		return errors.New("not logged in: no key was given")
	}
	client, err := admin.NewClient(address, key)
	if err != nil {
		return fmt.Errorf("not logged in: %w", err)
	}
	who, _, err := client.Whoami(ctx)
	if err != nil {
		return fmt.Errorf("not logged in: %w", err)
	}
	if err := file.save(saved{Address: client.Address(), Key: key}); err != nil {
		return err
	}
	i.note("Logged in at %s as %q (%s), with admin access %s. Saved in %s.", client.Address(), who.Name, printable(who.ID), printable(who.Admin), file.path)
	i.warnOverruled(client.Address())
	return nil
}

// loginHere makes an admin key in the store of a configuration on this
// machine, unless the saved one works there.
func (i *invocation) loginHere(ctx context.Context, config, adapter, address string) (err error) {
	if i.OpenGateway == nil {
		return errors.New("this build can't read configurations; use keywarden login URL")
	}
	file, err := i.credentials()
	if err != nil {
		return err
	}
	gateway, err := i.OpenGateway(ctx, config, adapter)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.Close()) }()
	// An address that was given overrides that of the configuration: it may
	// listen on an address that clients reach by another name.
	if address = first(address, gateway.Address()); address == "" {
		return fmt.Errorf("%s: found no site with api_key_admin; give the address of the admin API with --address", config)
	}
	if address, err = admin.ParseAddress(address); err != nil {
		return err
	}
	kept, err := i.keepLogin(ctx, gateway, file, address)
	if err != nil || kept {
		return err
	}
	return i.makeLogin(ctx, gateway, file, address, config)
}

// keepLogin reports whether the saved key works at the gateway. Its store is
// asked, not its API: the answer is the same while the gateway is stopped.
func (i *invocation) keepLogin(ctx context.Context, gateway Gateway, file *credentials, address string) (bool, error) {
	login, _, err := file.load()
	if errors.Is(err, errNoLogin) {
		return false, nil
	}
	if err != nil {
		i.note("Warning: %s", printable(err.Error()))
		return false, nil
	}
	access, ok, err := gateway.Accepts(ctx, login.Key)
	if err != nil || !ok {
		return false, err
	}
	if login.Address != address {
		if err := file.save(saved{Address: address, Key: login.Key}); err != nil {
			return false, err
		}
	}
	i.note("You are logged in at %s already, with admin access %s; no key was made.", address, printable(access))
	i.warnOverruled(address)
	return true, nil
}

func (i *invocation) makeLogin(ctx context.Context, gateway Gateway, file *credentials, address, config string) error {
	host, err := i.Hostname()
	if err != nil {
		return fmt.Errorf("naming the key after this machine: %w", err)
	}
	if err := file.prepare(); err != nil {
		return err // before there is a key that nobody knows
	}
	name := "cli@" + host
	secret, err := gateway.MakeAdminKey(ctx, name)
	if err != nil {
		return err
	}
	if err := i.tryKey(ctx, address, secret); err != nil {
		return fmt.Errorf("not logged in: an admin key was made in the store that %s names, but the gateway at %s uses another one (%w); a relative path counts from the working directory: run this in the gateway's", config, address, err)
	}
	if err := file.save(saved{Address: address, Key: secret}); err != nil {
		return fmt.Errorf("%w; an admin key named %q was made all the same: delete it when you can log in", err, name)
	}
	i.note("Made the admin key %q and logged in at %s. Saved in %s.", name, address, file.path)
	i.warnOverruled(address)
	return nil
}

// tryKey shows a new key to the gateway. It fails where the gateway runs and
// does not know it; one that does not answer may not have been started yet.
func (i *invocation) tryKey(ctx context.Context, address, secret string) error {
	client, err := admin.NewClient(address, secret)
	if err != nil {
		return err
	}
	_, _, err = client.Whoami(ctx)
	var refused *admin.Problem
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusUnauthorized:
		return errors.New("it says " + refused.Code)
	case err != nil:
		i.note("Warning: the gateway does not answer as it should, so the key could not be tried: %s", explain(err))
	}
	return nil
}

// warnOverruled says where the environment has the last word.
func (i *invocation) warnOverruled(address string) {
	if i.Getenv(envKey) != "" {
		i.note("Warning: %s is set, and is used instead of the saved key.", envKey)
	}
	given, err := i.givenAddress()
	if err == nil && given != "" && given != address {
		i.note("Warning: %s is set to another address, %s.", envAddress, given)
	}
}

// logout fills in the command "logout".
func (p *program) logout(cmd *cobra.Command) {
	cmd.Use = "logout"
	cmd.DisableFlagsInUseLine = true
	cmd.Example = "  keywarden logout"
	cmd.SetFlagErrorFunc(p.flagFault)
	p.action(cmd, nil, func(_ context.Context, i *invocation) error {
		file, err := i.credentials()
		if err != nil {
			return err
		}
		err = file.remove()
		if errors.Is(err, errNoLogin) {
			i.note("Nobody is logged in.") // which is what was asked for
			return nil
		}
		if err != nil {
			return err
		}
		i.note("Logged out: %s is removed.", file.path)
		return nil
	})
}
