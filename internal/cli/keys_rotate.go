package cli

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"
)

// maxGrace is the contract's: longer, and a rotation protects nobody.
const maxGrace = 30 * 24 * time.Hour

func (p *program) rotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate ID [--grace 24h] [--wait 5s] [--json]",
		Short: "Gives a key a new secret",
		Long: `
Gives a key a new secret, which is printed alone on standard output, this once.
Id, permissions and expiry stay. Without --grace the old secret is refused from
the next request on; with it, when the grace ends. A rotation ends the grace of
an earlier one at once.`,
		Example:               `  KEY=$(keywarden keys rotate key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 --grace 24h)`,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().String("grace", "0s", "How long the old secret goes on working: a `duration` (24h, 7d), at most 30d")
	addWaitFlag(cmd)
	addJSONFlag(cmd)
	p.action(cmd, []string{"ID"}, runRotate)
	return cmd
}

func runRotate(ctx context.Context, i *invocation) error {
	text, err := i.cmd.Flags().GetString("grace")
	if err != nil {
		return usagef("%v", err)
	}
	grace, err := caddy.ParseDuration(text)
	if err != nil || grace < 0 || grace > maxGrace {
		return usagef("--grace %s: expected a duration from 0s to 30d", text)
	}
	client, err := i.changingClient()
	if err != nil {
		return err
	}
	key, answer, err := client.Rotate(ctx, i.args[0], grace, "")
	if err != nil {
		return err
	}
	if err := i.handOut(key, answer, "Rotated"); err != nil {
		return err
	}
	return i.everywhere(answer)
}
