package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

func (p *program) check() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check ID METHOD PATH [--from IP] [--json]",
		Short: "Says whether a key may make a request",
		Long: `
Asks which decision the gateway would take on a request with this key. Nothing
is sent upstream and nothing is changed. ID is the id of a key, or - to read a
secret from standard input. --from judges the client's address too, for a key
that is limited to some. The exit status is 1 where it would be refused.`,
		Example: `  keywarden keys check key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 POST /v2/abc123/run
  keywarden keys check - GET /rest/users < secret.txt`,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().String("from", "", "Address of the client: `IP`")
	addJSONFlag(cmd)
	p.action(cmd, []string{"ID", "METHOD", "PATH"}, runCheck)
	return cmd
}

func runCheck(ctx context.Context, i *invocation) error {
	// Methods are case-sensitive (RFC 9110, section 9.1), but nobody who types
	// "get" means a method of that name.
	r := admin.CheckRequest{ID: i.args[0], Method: strings.ToUpper(i.args[1]), Path: i.args[2]}
	if !strings.HasPrefix(r.Path, "/") {
		return usagef("PATH %s: expected a path that begins with /", r.Path)
	}
	from, err := i.cmd.Flags().GetString("from")
	if err != nil {
		return usagef("%v", err)
	}
	r.IP = from
	client, err := i.client()
	if err != nil {
		return err
	}
	if r.ID == "-" {
		r.ID = ""
		if r.Secret, err = i.askSecret(ctx, "Secret to check: "); err != nil {
			return err
		}
	}
	decision, answer, err := client.Check(ctx, r)
	if err != nil {
		return err
	}
	if err := i.printDecision(&decision, answer); err != nil {
		return err
	}
	if !decision.Allowed {
		return errRefused
	}
	return nil
}

func (i *invocation) printDecision(d *admin.CheckAnswer, answer admin.Answer) error {
	if i.wantsJSON() {
		return i.printJSON(answer.Body)
	}
	if d.Allowed {
		return i.print(fmt.Appendf(nil, "allowed%s\n", printable(allowedWhy(d))))
	}
	text := fmt.Sprintf("refused: %d %s", d.Status, d.Code)
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	return i.print([]byte(printable(text) + "\n"))
}

func allowedWhy(d *admin.CheckAnswer) string {
	if d.API == "" {
		return ": public"
	}
	target := d.API
	if d.Endpoint != "" {
		target += "/" + d.Endpoint
	}
	return fmt.Sprintf(": needs %s on %s, has %s", d.Needs, target, d.Has)
}
