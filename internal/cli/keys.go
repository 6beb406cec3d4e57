package cli

import (
	"context"

	"github.com/spf13/cobra"
)

const keysLong = `
Manages API keys through the admin API of a gateway.

The address comes from --address, KEYWARDEN_ADDRESS or the saved login
(default http://localhost:2020); the admin key from KEYWARDEN_ADMIN_KEY or the
saved login. An admin key is never given as a flag. See keywarden login.

Answers go to standard output, everything else to standard error. The exit
status is 0, 1 where something failed or was refused, 2 where the command was
typed wrongly.`

const keysExample = `  KEY=$(keywarden keys create ci --all)
  keywarden keys create mobile --allow graphql=read --expires 90d
  keywarden keys list --owner team-7
  keywarden keys rotate key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 --grace 24h`

// keys fills in the command "keys" and those below it.
func (p *program) keys(cmd *cobra.Command) {
	cmd.Use = "keys"
	cmd.DisableFlagsInUseLine = true
	cmd.Example = keysExample
	cmd.SetFlagErrorFunc(p.flagFault)
	addAddressFlag(cmd)
	p.action(cmd, []string{"[COMMAND]"}, func(_ context.Context, i *invocation) error {
		if len(i.args) > 0 {
			return usagef("unknown command %q", i.args[0])
		}
		return i.cmd.Help()
	})
	cmd.AddCommand(
		p.create(), p.list(), p.get(), p.edit(),
		p.enable(), p.disable(), p.delete(), p.rotate(),
		p.importKeys(), p.check(), p.usage(), p.suggest(),
	)
}

func addJSONFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("json", false, "Print the API's answer on standard output")
}

// wantsJSON reports whether --json is given; commands without the flag have
// no answer to print.
func (i *invocation) wantsJSON() bool {
	given, err := i.cmd.Flags().GetBool("json")
	return err == nil && given
}
