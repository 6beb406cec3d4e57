package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/internal/leak"
)

const leakRulesLong = `
Prints rules by which scanners find secrets of this gateway where they should
not be: in repositories, tickets, chats and images. They go by the prefix of
secrets, so one of your own (key_prefix) finds your secrets and no others.`

// leakRules fills in the command "leak-rules".
func (p *program) leakRules(cmd *cobra.Command) {
	cmd.Use = "leak-rules [--prefix PREFIX | --config FILE [--adapter NAME]] [--format gitleaks|trufflehog|github]"
	cmd.DisableFlagsInUseLine = true
	cmd.Example = `  keywarden leak-rules --config Caddyfile > .gitleaks.toml
  keywarden leak-rules --prefix acme --format trufflehog > detectors.yaml`
	cmd.SetFlagErrorFunc(p.flagFault)
	cmd.Flags().String("prefix", "kw", "The `prefix` of secrets")
	cmd.Flags().StringP("config", "c", "", "The configuration `file` that says the prefix")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter, where the file's name does not tell")
	cmd.Flags().String("format", leak.Formats[0], "The scanner: `gitleaks|trufflehog|github`")
	p.action(cmd, nil, runLeakRules)
}

func runLeakRules(_ context.Context, i *invocation) error {
	flags := i.cmd.Flags()
	prefix, prefixErr := flags.GetString("prefix")
	config, configErr := flags.GetString("config")
	adapter, adapterErr := flags.GetString("adapter")
	format, formatErr := flags.GetString("format")
	if err := errors.Join(prefixErr, configErr, adapterErr, formatErr); err != nil {
		return usagef("%v", err)
	}
	if config != "" {
		if flags.Changed("prefix") {
			return usagef("--prefix and --config are both given; expected one of them")
		}
		if i.KeyPrefix == nil {
			return errors.New("this build can't read configurations")
		}
		var err error
		if prefix, err = i.KeyPrefix(config, adapter); err != nil {
			return err
		}
	}
	rules, err := leak.Rules(prefix, format)
	if err != nil {
		return usagef("%v", err)
	}
	return i.print([]byte(rules))
}
