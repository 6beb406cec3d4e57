package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

const (
	// pageSize is the most that the API gives at once.
	pageSize = 200
	// tableRows is how many rows share one layout: the columns of a longer
	// list may shift, but a million keys need not fit in memory.
	tableRows = 5 * pageSize
	// permissionWidth cuts the one column that has no natural end.
	permissionWidth = 48
)

func (p *program) list() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [--owner O] [--status S] [--query Q] [--unused-since AGE] [--json]",
		Short: "Lists keys, newest first",
		Long: `
Lists all keys, newest first, or those that the flags select. With
--unused-since it lists those that were not used since that day (of UTC), longest
unused first; a key that was never used counts as used when it was created. With
--json it prints one document, {"data": [...]}, with every key as the API shows it.`,
		Example: `  keywarden keys list
  keywarden keys list --status expired
  keywarden keys list --unused-since 90d
  keywarden keys list --query mobile --json | jq -r '.data[].id'`,
		DisableFlagsInUseLine: true,
	}
	f := cmd.Flags()
	f.String("owner", "", "Only keys of this `owner`")
	f.String("status", "", "Only keys that are `active|disabled|expired`")
	f.String("query", "", "Only keys with this `text` in name, prefix, id or owner")
	f.String("unused-since", "", "Only keys not used since then: a `duration` ago (30d), a date (2026-01-31), or RFC 3339")
	addJSONFlag(cmd)
	p.action(cmd, nil, runList)
	return cmd
}

func runList(ctx context.Context, i *invocation) error {
	filter, err := i.filter()
	if err != nil {
		return err
	}
	client, err := i.client()
	if err != nil {
		return err
	}
	if i.wantsJSON() {
		return i.listJSON(ctx, client, filter)
	}
	return i.listTable(ctx, client, filter)
}

func (i *invocation) filter() (admin.KeyFilter, error) {
	f := i.cmd.Flags()
	owner, ownerErr := f.GetString("owner")
	status, statusErr := f.GetString("status")
	text, textErr := f.GetString("query")
	if err := errors.Join(ownerErr, statusErr, textErr); err != nil {
		return admin.KeyFilter{}, usagef("%v", err)
	}
	unused, err := i.unusedSince()
	if err != nil {
		return admin.KeyFilter{}, err
	}
	filter := admin.KeyFilter{Owner: owner, Status: status, Text: text, UnusedSince: unused, Limit: pageSize}
	if f.Changed("owner") && owner == "" {
		// The API takes it for no filter at all: an empty variable of a script
		// must not list everybody's keys.
		return admin.KeyFilter{}, usagef("--owner: expected an owner")
	}
	if f.Changed("status") && status != "active" && status != "disabled" && status != "expired" {
		return admin.KeyFilter{}, usagef("--status %s: expected active, disabled or expired", status)
	}
	return filter, nil
}

// pages calls show with every page of the list.
func pages(ctx context.Context, client *admin.Client, filter admin.KeyFilter, show func(admin.KeyList, admin.Answer) error) error {
	for {
		page, answer, err := client.List(ctx, filter)
		if err != nil {
			return err
		}
		if err := show(page, answer); err != nil {
			return err
		}
		if page.NextCursor == nil || *page.NextCursor == "" {
			return nil
		}
		if *page.NextCursor == filter.Cursor {
			return fmt.Errorf("listing keys: %s gave the same page twice", client.Address())
		}
		filter.Cursor = *page.NextCursor
	}
}

func (i *invocation) listTable(ctx context.Context, client *admin.Client, filter admin.KeyFilter) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	flush := func() error {
		if err := w.Flush(); err != nil {
			return fmt.Errorf("laying out the list: %w", err)
		}
		err := i.print(text.Bytes())
		text.Reset()
		return err
	}
	rows := 0
	err := pages(ctx, client, filter, func(page admin.KeyList, _ admin.Answer) error {
		for k := range page.Data {
			if rows == 0 {
				writeRow(w, "ID", "NAME", "OWNER", "PREFIX", "PERMISSIONS", "STATUS", "EXPIRES", "LAST USED")
			}
			rows++
			writeKey(w, &page.Data[k])
		}
		if rows%tableRows == 0 {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if rows == 0 {
		i.note("No keys.")
	}
	return flush()
}

func writeKey(w io.Writer, key *admin.Key) {
	permissions := shorten(permissionText(key.Permissions), permissionWidth)
	if key.Admin != "none" {
		permissions += " +admin " + key.Admin
	}
	writeRow(w, key.ID, key.Name, key.Owner, key.Prefix, permissions, key.Status, stamp(key.ExpiresAt), stamp(key.LastUsedAt))
}

func writeRow(w io.Writer, cells ...string) {
	for k, cell := range cells {
		cells[k] = printable(cell)
	}
	_, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) // into memory: can't fail
}

func shorten(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}

// listJSON prints one document made of all pages, each as soon as it is there.
func (i *invocation) listJSON(ctx context.Context, client *admin.Client, filter admin.KeyFilter) error {
	before := `{"data":[`
	err := pages(ctx, client, filter, func(_ admin.KeyList, answer admin.Answer) error {
		var page struct {
			Data []json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(answer.Body, &page); err != nil {
			return fmt.Errorf("reading the answer of %s: %w", client.Address(), err)
		}
		return i.printElements(&before, page.Data)
	})
	if err != nil {
		return err
	}
	return i.print([]byte("]}\n"))
}

// printElements prints elements of a JSON array, with what stands before the
// next one.
func (i *invocation) printElements(before *string, elements []json.RawMessage) error {
	var text bytes.Buffer
	for _, element := range elements {
		text.WriteString(*before)
		text.Write(printableJSON(element))
		*before = ","
	}
	if *before != "," { // an empty array opens all the same
		text.WriteString(*before)
		*before = ""
	}
	return i.print(text.Bytes())
}
