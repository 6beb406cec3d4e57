package cli

import (
	"slices"

	"github.com/spf13/cobra"
)

// anywhere is what --allow-from takes for no limit.
const anywhere = "anywhere"

func addSourcesFlag(cmd *cobra.Command) {
	cmd.Flags().StringArray("allow-from", nil, "Network or address from which the key may be used, `CIDR`; several may be given; "+anywhere+" for no limit")
}

// sources returns what --allow-from says, an empty list for anywhere; nil
// where it is not given. The API says what is wrong with a network.
func (i *invocation) sources() (*[]string, error) {
	if !i.cmd.Flags().Changed("allow-from") {
		return nil, nil
	}
	list, err := i.cmd.Flags().GetStringArray("allow-from")
	if err != nil {
		return nil, usagef("%v", err)
	}
	if !slices.Contains(list, anywhere) {
		return &list, nil
	}
	if len(list) > 1 {
		return nil, usagef("--allow-from %s: expected no network beside it", anywhere)
	}
	return &[]string{}, nil
}
