package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// Finding is what an examination says of one thing.
type Finding struct {
	Severity string `json:"severity"` // ok, note or fault
	About    string `json:"about"`
	Text     string `json:"text"`
	Mend     string `json:"mend,omitempty"`
}

const severityFault = "fault"

const doctorLong = `
Looks at a configuration, and at what it leads to on this machine: what stands
behind api_key_auth, whether secrets are kept out of logs, which proxies are
trusted, who can read the files, whether the store answers, the other gateways
on it, clocks, and the gateway that runs here. It says what it found and what
to do. Run it as the gateway's user, in its folder and with its environment.

It changes nothing, but that the store is brought up to date as by a start.
The exit status is 1 if something must be mended.`

// doctor fills in the command "doctor".
func (p *program) doctor(cmd *cobra.Command) {
	cmd.Use = "doctor [--config FILE [--adapter NAME]] [--json]"
	cmd.DisableFlagsInUseLine = true
	cmd.Example = `  keywarden doctor
  keywarden doctor --config /etc/keywarden/Caddyfile`
	cmd.SetFlagErrorFunc(p.flagFault)
	cmd.Flags().StringP("config", "c", "Caddyfile", "The configuration `file`")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter, where the file's name does not tell")
	cmd.Flags().Bool("json", false, "Print the findings as JSON")
	p.action(cmd, nil, runDoctor)
}

func runDoctor(ctx context.Context, i *invocation) error {
	flags := i.cmd.Flags()
	config, err := flags.GetString("config")
	if err != nil {
		return usagef("%v", err)
	}
	adapter, err := flags.GetString("adapter")
	if err != nil {
		return usagef("%v", err)
	}
	asJSON, err := flags.GetBool("json")
	if err != nil {
		return usagef("%v", err)
	}
	if config == "" {
		return usagef("--config: expected a file")
	}
	if i.Examine == nil {
		return errors.New("this build can't examine configurations")
	}
	findings, err := i.Examine(ctx, config, adapter)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(i.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(findings)
	} else {
		err = i.printFindings(findings)
	}
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.Severity == severityFault {
			return errRefused
		}
	}
	return nil
}

func (i *invocation) printFindings(findings []Finding) error {
	table := tabwriter.NewWriter(i.out, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Severity, f.About, printable(f.Text))
		if f.Mend != "" {
			fmt.Fprintf(table, "\t\t-> %s\n", printable(f.Mend))
		}
	}
	return table.Flush()
}
