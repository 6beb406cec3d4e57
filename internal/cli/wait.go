package cli

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

// maxWait is the API's.
const maxWait = 30 * time.Second

func addWaitFlag(cmd *cobra.Command) {
	cmd.Flags().String("wait", "0s", "Wait until the change holds on every gateway, at most this `duration` (1s to 30s); fail where it does not")
}

// changingClient is a client that waits as --wait says.
func (i *invocation) changingClient() (*admin.Client, error) {
	wait, err := i.wait()
	if err != nil {
		return nil, err
	}
	client, err := i.client()
	if err != nil || wait == 0 {
		return client, err
	}
	return client.Waits(wait), nil
}

// wait is what --wait says; 0 where it is not given.
func (i *invocation) wait() (time.Duration, error) {
	text, err := i.cmd.Flags().GetString("wait")
	if err != nil {
		return 0, usagef("%v", err)
	}
	wait, err := caddy.ParseDuration(text)
	if err != nil || wait < 0 || wait > maxWait {
		return 0, usagef("--wait %s: expected a duration from 1s to 30s", text)
	}
	return wait, nil
}

// everywhere says whether the change holds on every gateway, where --wait asks
// for that. The change is made either way: the error is for scripts that must
// not go on before a key is refused everywhere.
func (i *invocation) everywhere(answer admin.Answer) error {
	wait, err := i.wait()
	switch {
	case err != nil || wait == 0:
		return err
	case answer.Everywhere:
		i.note("The change holds on every gateway.")
		return nil
	case answer.Pending == "*":
		return fmt.Errorf("the change is made, but the gateway can't tell on which others it holds; GET /v1/nodes lists them")
	case answer.Pending == "":
		return fmt.Errorf("the change is made, but the gateway does not say whether it holds on others: it knows of none, or is of an older version")
	}
	return fmt.Errorf("the change is made, but after %s it does not hold on: %s", wait, printable(answer.Pending))
}
