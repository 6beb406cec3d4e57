package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

func (p *program) create() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME|--unnamed [--all | --read-only | --allow API[/ENDPOINT]=none|read|write ...] [--owner O] [--expires 30d|DATE] [--allow-from CIDR ...] [--admin read|write] [--json]",
		Short: "Creates a key and prints its secret",
		Long: `
Creates a key. Its secret is printed alone on standard output, this once: it is
stored nowhere and can't be shown again. Everything else goes to standard error.

One of --all, --read-only and --allow says what the key may do. With --admin
alone the key opens the admin API and nothing else. What --allow does not list,
the key may not do; --allow none lists nothing. With --unnamed the key is called
by the first characters of its secret.`,
		Example: `  KEY=$(keywarden keys create ci --all)
  keywarden keys create reports --read-only --owner team-7 --expires 2030-01-31
  keywarden keys create worker --allow graphql=read --allow serverless/abc123=write
  keywarden keys create office --all --allow-from 203.0.113.0/24 --allow-from 2001:db8::/32
  keywarden keys create console --admin write`,
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	addPermissionFlags(cmd)
	f.Bool("unnamed", false, "Instead of NAME: call the key by its prefix")
	addExpiresFlag(cmd)
	addSourcesFlag(cmd)
	f.String("owner", "", "Who the key belongs to in the API's own world")
	f.String("admin", "none", "Access to the admin API: `none|read|write`")
	addJSONFlag(cmd)
	p.action(cmd, []string{"[NAME]"}, runCreate)
	return cmd
}

func runCreate(ctx context.Context, i *invocation) error {
	r, err := i.createRequest()
	if err != nil {
		return err
	}
	client, err := i.client()
	if err != nil {
		return err
	}
	key, answer, err := client.Create(ctx, r)
	if err != nil {
		return err
	}
	return i.handOut(key, answer, "Created")
}

func (i *invocation) createRequest() (admin.CreateRequest, error) {
	name, err := i.name()
	if err != nil {
		return admin.CreateRequest{}, err
	}
	permissions, err := i.permissions()
	if err != nil {
		return admin.CreateRequest{}, err
	}
	access, err := i.adminAccess()
	if err != nil {
		return admin.CreateRequest{}, err
	}
	expires, _, err := i.expires()
	if err != nil {
		return admin.CreateRequest{}, err
	}
	owner, err := i.cmd.Flags().GetString("owner")
	if err != nil {
		return admin.CreateRequest{}, usagef("%v", err)
	}
	if permissions == nil {
		if access == nil || *access == "none" {
			return admin.CreateRequest{}, usagef("nothing says what the key may do; give --all, --read-only, or --allow API[/ENDPOINT]=none|read|write")
		}
		permissions = &admin.Permissions{Mode: modeRestricted}
	}
	sources, err := i.sources()
	if err != nil {
		return admin.CreateRequest{}, err
	}
	r := admin.CreateRequest{Name: name, Owner: owner, Permissions: *permissions}
	if access != nil {
		r.Admin = *access
	}
	if sources != nil {
		r.Sources = *sources
	}
	if !expires.IsZero() {
		r.ExpiresAt = &expires
	}
	return r, nil
}

// adminAccess returns what --admin says; nil where it is not given.
func (i *invocation) adminAccess() (*string, error) {
	if !i.cmd.Flags().Changed("admin") {
		return nil, nil
	}
	access, err := i.cmd.Flags().GetString("admin")
	if err != nil {
		return nil, usagef("%v", err)
	}
	if access != "none" && access != "read" && access != "write" {
		return nil, usagef("--admin %s: expected none, read or write", access)
	}
	return &access, nil
}

// handOut prints a new secret alone on standard output, and about the key on
// standard error. A secret that can't be printed is lost, so the error says
// how to get another one.
func (i *invocation) handOut(key admin.KeyWithSecret, answer admin.Answer, done string) error {
	var err error
	if i.wantsJSON() {
		err = i.printJSON(answer.Body)
	} else {
		err = i.print([]byte(printable(key.Secret) + "\n"))
	}
	if err != nil {
		return fmt.Errorf("%w; the key %s was made, but its secret is lost: keywarden keys rotate %[2]s gives it another one", err, key.ID)
	}
	if i.wantsJSON() {
		return nil
	}
	i.note("%s key %q (%s, %s): %s.", done, key.Name, printable(key.ID), printable(key.Prefix), describe(&key.Key))
	if key.Rotation != nil {
		i.note("The old secret %s works until %s.", printable(key.Rotation.PreviousPrefix), stamp(&key.Rotation.PreviousExpiresAt))
	}
	i.note("The secret on standard output is not shown again.")
	return nil
}

// name returns the NAME of a key to be made, nil for --unnamed. That a key has
// none must be said: an empty variable in a script is a slip.
func (i *invocation) name() (*string, error) {
	unnamed, err := i.cmd.Flags().GetBool("unnamed")
	switch {
	case err != nil:
		return nil, usagef("%v", err)
	case unnamed && len(i.args) > 0:
		return nil, usagef("NAME %q and --unnamed exclude one another; give one of them", i.args[0])
	case unnamed:
		return nil, nil
	case len(i.args) == 0:
		return nil, usagef("expected NAME: NAME is missing; give one, or --unnamed")
	}
	return &i.args[0], nil
}
