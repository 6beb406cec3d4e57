package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

func (p *program) get() *cobra.Command {
	cmd := &cobra.Command{
		Use:                   "get ID [--json]",
		Short:                 "Shows one key",
		Long:                  "\nShows one key: everything but its secret, which is stored nowhere.",
		Example:               "  keywarden keys get key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5\n  keywarden keys get key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 --json | jq .permissions",
		DisableFlagsInUseLine: true,
	}
	addJSONFlag(cmd)
	p.action(cmd, []string{"ID"}, func(ctx context.Context, i *invocation) error {
		client, err := i.client()
		if err != nil {
			return err
		}
		key, answer, err := client.Get(ctx, i.args[0])
		if err != nil {
			return err
		}
		return i.show(&key, answer)
	})
	return cmd
}

// show prints a key on standard output.
func (i *invocation) show(key *admin.Key, answer admin.Answer) error {
	if i.wantsJSON() {
		return i.printJSON(answer.Body)
	}
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(name, value string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", name, printable(value)) } // into memory: can't fail
	row("ID", key.ID)
	row("Name", key.Name)
	row("Owner", key.Owner)
	row("Prefix", key.Prefix)
	row("Permissions", permissionText(key.Permissions))
	row("Admin", key.Admin)
	row("Status", key.Status)
	row("Expires", stamp(key.ExpiresAt))
	if len(key.Sources) > 0 {
		row("Allowed from", strings.Join(key.Sources, " "))
	}
	row("Last used", stamp(key.LastUsedAt))
	row("Created", stamp(&key.CreatedAt)+" by "+key.CreatedBy)
	row("Updated", stamp(&key.UpdatedAt))
	if key.Legacy {
		row("Legacy", "imported, not rotated since")
	}
	if key.Rotation != nil {
		row("Old secret", key.Rotation.PreviousPrefix+" works until "+stamp(&key.Rotation.PreviousExpiresAt))
	}
	for _, name := range slices.Sorted(maps.Keys(key.Metadata)) {
		row("Metadata", name+"="+key.Metadata[name])
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("laying out the key: %w", err)
	}
	return i.print(text.Bytes())
}

// describe says in a few words what a key may do, and until when.
func describe(key *admin.Key) string {
	text := permissionText(key.Permissions)
	if key.Admin != "none" {
		text += ", admin " + key.Admin
	}
	if len(key.Sources) > 0 {
		text += ", from " + strings.Join(key.Sources, " ")
	}
	return printable(text) + ", expires " + stamp(key.ExpiresAt)
}

// permissionText writes permissions in the words of --allow.
func permissionText(p admin.Permissions) string {
	if p.Mode != modeRestricted {
		return p.Mode
	}
	return strings.Join(allowRules(p), " ")
}

// stamp writes a time in UTC, to the second; nil is never.
func stamp(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return at.UTC().Format(time.RFC3339)
}
