package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

func (p *program) edit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "edit ID [--name N] [--owner O] [--all | --read-only | --allow API[/ENDPOINT]=none|read|write ...] [--expires 30d|DATE|never] [--allow-from CIDR|anywhere ...] [--admin none|read|write] [--wait 5s] [--json]",
		Short: "Changes a key",
		Long: `
Changes what the flags name, and nothing else. Permissions are replaced whole:
--allow lists everything that the key may do from now on. The secret stays as it
is. If somebody else changes the key at the same moment, nothing is changed.`,
		Example: `  keywarden keys edit key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 --name "ci, new" --expires never
  keywarden keys edit key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 --allow graphql=read --allow rest=write`,
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.String("name", "", "New name")
	f.String("owner", "", "New owner; \"\" for nobody")
	addPermissionFlags(cmd)
	addExpiresFlag(cmd)
	addSourcesFlag(cmd)
	f.String("admin", "none", "Access to the admin API: `none|read|write`")
	addWaitFlag(cmd)
	addJSONFlag(cmd)
	p.action(cmd, []string{"ID"}, runEdit)
	return cmd
}

func runEdit(ctx context.Context, i *invocation) error {
	patch, err := i.patch()
	if err != nil {
		return err
	}
	return i.change(ctx, patch, "Changed")
}

// change patches the key as it is now: an edit that somebody else makes in
// between is not overwritten.
func (i *invocation) change(ctx context.Context, patch admin.Patch, done string) error {
	client, err := i.changingClient()
	if err != nil {
		return err
	}
	_, seen, err := client.Get(ctx, i.args[0])
	if err != nil {
		return err
	}
	key, answer, err := client.Patch(ctx, i.args[0], patch, seen.ETag)
	if err != nil {
		return err
	}
	return i.changedKey(answer, "%s key %q (%s, %s): %s, %s.", done, key.Name, printable(key.ID), printable(key.Prefix), printable(key.Status), describe(&key))
}

// changedKey prints the answer, or the note, and whether the change holds.
func (i *invocation) changedKey(answer admin.Answer, note string, args ...any) error {
	if !i.wantsJSON() {
		i.note(note, args...)
	} else if err := i.printJSON(answer.Body); err != nil {
		return err
	}
	return i.everywhere(answer)
}

func (i *invocation) patch() (admin.Patch, error) {
	var patch admin.Patch
	var err error
	if patch.Permissions, err = i.permissions(); err != nil {
		return patch, err
	}
	if patch.Admin, err = i.adminAccess(); err != nil {
		return patch, err
	}
	if patch.Name, err = i.changed("name"); err != nil {
		return patch, err
	}
	if patch.Owner, err = i.changed("owner"); err != nil {
		return patch, err
	}
	expires, given, err := i.expires()
	if err != nil {
		return patch, err
	}
	if given {
		patch.ExpiresAt = &admin.Expiry{Time: expires}
	}
	if patch.Sources, err = i.sources(); err != nil {
		return patch, err
	}
	if patch.Permissions == nil && patch.Admin == nil && patch.Name == nil && patch.Owner == nil && patch.Sources == nil && !given {
		return patch, usagef("nothing to change; give --name, --owner, --all, --read-only, --allow, --allow-from, --expires or --admin")
	}
	return patch, nil
}

// changed returns the value of a flag; nil where it is not given.
func (i *invocation) changed(name string) (*string, error) {
	if !i.cmd.Flags().Changed(name) {
		return nil, nil
	}
	value, err := i.cmd.Flags().GetString(name)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return &value, nil
}

func (p *program) enable() *cobra.Command {
	return p.toggle("enable", "Switches a key on again", true, "Enabled",
		"\nSwitches a key on. It works from the next request on, unless it has expired.")
}

func (p *program) disable() *cobra.Command {
	return p.toggle("disable", "Switches a key off", false, "Disabled",
		"\nSwitches a key off: from the next request on it is refused, until it is enabled.")
}

func (p *program) toggle(name, short string, enabled bool, done, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:                   name + " ID [--wait 5s] [--json]",
		Short:                 short,
		Long:                  long,
		Example:               "  keywarden keys " + name + " key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5",
		DisableFlagsInUseLine: true,
	}
	addWaitFlag(cmd)
	addJSONFlag(cmd)
	p.action(cmd, []string{"ID"}, func(ctx context.Context, i *invocation) error {
		return i.toggle(ctx, enabled, done)
	})
	return cmd
}

// toggle needs no guard against lost updates: it says what shall be, whatever
// was before, and in an emergency it must not fail because of an edit.
func (i *invocation) toggle(ctx context.Context, enabled bool, done string) error {
	client, err := i.changingClient()
	if err != nil {
		return err
	}
	key, answer, err := client.Patch(ctx, i.args[0], admin.Patch{Enabled: &enabled}, "")
	if err != nil {
		return err
	}
	return i.changedKey(answer, "%s key %q (%s, %s): %s.", done, key.Name, printable(key.ID), printable(key.Prefix), printable(key.Status))
}
