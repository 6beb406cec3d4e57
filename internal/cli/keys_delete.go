package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

func (p *program) delete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete ID [--yes] [--wait 5s]",
		Short: "Deletes a key",
		Long: `
Deletes a key: its secrets are refused from the next request on, for good. It
asks first, and only y or yes deletes. To switch a key off for a while, see
keywarden keys disable.`,
		Example: `  keywarden keys delete key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5
  keywarden keys delete key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 --yes --wait 5s`,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().Bool("yes", false, "Delete without asking")
	addWaitFlag(cmd)
	p.action(cmd, []string{"ID"}, runDelete)
	return cmd
}

func runDelete(ctx context.Context, i *invocation) error {
	yes, err := i.cmd.Flags().GetBool("yes")
	if err != nil {
		return usagef("%v", err)
	}
	client, err := i.changingClient()
	if err != nil {
		return err
	}
	key, seen, err := client.Get(ctx, i.args[0])
	if err != nil {
		return err
	}
	etag := ""
	if !yes {
		if err := i.confirm(ctx, &key); err != nil {
			return err
		}
		etag = seen.ETag // what is deleted is what was shown
	}
	answer, err := client.Delete(ctx, i.args[0], etag)
	if err != nil {
		return err
	}
	i.note("Deleted key %q (%s, %s).", key.Name, printable(key.ID), printable(key.Prefix))
	return i.everywhere(answer)
}

func (i *invocation) confirm(ctx context.Context, key *admin.Key) error {
	answer, err := i.ask(ctx, fmt.Sprintf("Delete key %q (%s, %s), last used %s? Its callers will be refused at once. [y/N] ",
		key.Name, printable(key.ID), printable(key.Prefix), stamp(key.LastUsedAt)))
	if errors.Is(err, io.EOF) {
		return errors.New("not deleted: standard input gave no answer; where nobody can be asked, give --yes")
	}
	if err != nil {
		return fmt.Errorf("not deleted: %w", err)
	}
	if answer = strings.TrimSpace(answer); answer != "y" && answer != "yes" {
		return errors.New("not deleted: the answer was neither y nor yes")
	}
	return nil
}
