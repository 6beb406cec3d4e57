package cli

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

const (
	maxDays = 366
	// hourDays is for how many days the API knows hours.
	hourDays = 14
	aDay     = 24 * time.Hour
)

func (p *program) usage() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "usage ID [--days N] [--json]",
		Short: "Shows how a key was used",
		Long: `
Shows how many requests a key made in the last days, what for, and what became
of them. With --json it prints the API's answer, which has them by time as well.`,
		Example: `  keywarden keys usage key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5
  keywarden keys usage key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 --days 30 --json | jq .series`,
		DisableFlagsInUseLine: true,
	}
	addDaysFlag(cmd, 1)
	addJSONFlag(cmd)
	p.action(cmd, []string{"ID"}, runUsage)
	return cmd
}

func addDaysFlag(cmd *cobra.Command, days int) {
	cmd.Flags().Int("days", days, "How many `days` back to look, at most 366")
}

func (i *invocation) days() (int, error) {
	days, err := i.cmd.Flags().GetInt("days")
	if err != nil {
		return 0, usagef("%v", err)
	}
	if days < 1 || days > maxDays {
		return 0, usagef("--days %d: expected 1 to %d", days, maxDays)
	}
	return days, nil
}

func runUsage(ctx context.Context, i *invocation) error {
	days, err := i.days()
	if err != nil {
		return err
	}
	client, err := i.client()
	if err != nil {
		return err
	}
	filter := admin.UsageFilter{From: i.Now().Add(-time.Duration(days) * aDay), Step: "day"}
	if days <= hourDays {
		filter.Step = "hour"
	}
	usage, answer, err := client.Usage(ctx, i.args[0], filter)
	if err != nil {
		return err
	}
	if i.wantsJSON() {
		return i.printJSON(answer.Body)
	}
	i.noteRecorded(usage.Recorded, usage.From)
	return i.showUsage(&usage)
}

// noteRecorded says what the numbers leave out.
func (i *invocation) noteRecorded(r admin.Recorded, from time.Time) {
	switch {
	case !r.Recording:
		i.note("This gateway does not count usage (usage off); what is shown is of before.")
	case r.RecordedSince == nil:
		i.note("Nothing has been counted yet.")
	case r.RecordedSince.After(from):
		i.note("Usage is known since %s only.", r.RecordedSince.UTC().Format(time.DateOnly))
	}
}

func (i *invocation) showUsage(usage *admin.KeyUsage) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(name, value string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", name, value) } // into memory: can't fail
	row("From", stamp(&usage.From))
	row("Requests", fmt.Sprintf("%d: %d allowed, %d refused", usage.Requests, usage.Allowed, usage.Refused))
	row("Allowed lately", fmt.Sprintf("%d in 24 hours, %d in 7 days", usage.Lately.Requests24h, usage.Lately.Requests7d))
	row("Last used", stamp(usage.Lately.LastUsedAt))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("laying out usage: %w", err)
	}
	if len(usage.Uses) > 0 {
		text.WriteString("\n")
		writeRow(w, "API", "ENDPOINT", "ACCESS", "OUTCOME", "REQUESTS", "LAST")
		for _, u := range usage.Uses {
			endpoint := u.Endpoint
			if u.OtherEndpoints {
				endpoint = "(others)"
			}
			writeRow(w, u.API, endpoint, u.Access, u.Outcome, strconv.FormatInt(u.Requests, 10), stamp(&u.LastAt))
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("laying out usage: %w", err)
		}
	}
	if usage.MoreUses > 0 {
		i.note("%d more are not shown.", usage.MoreUses)
	}
	return i.print(text.Bytes())
}

func (p *program) suggest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "suggest ID [--days N] [--json]",
		Short: "Suggests the smallest permissions that cover what a key did",
		Long: `
Looks at what a key did in the last days, and prints the command that gives it
the permissions for that and no more. It changes nothing. Why, and what would be
taken away, goes to standard error. What the key will have to do tomorrow, and
did not do in these days, only you know. If the key has no more than it needs,
no command is printed.`,
		Example: `  keywarden keys suggest key_0192f3a1c5d87c3e9b4a6f10d2e8c7b5 --days 90`,

		DisableFlagsInUseLine: true,
	}
	addDaysFlag(cmd, 30)
	addJSONFlag(cmd)
	p.action(cmd, []string{"ID"}, runSuggest)
	return cmd
}

func runSuggest(ctx context.Context, i *invocation) error {
	days, err := i.days()
	if err != nil {
		return err
	}
	client, err := i.client()
	if err != nil {
		return err
	}
	s, answer, err := client.Suggestion(ctx, i.args[0], days)
	if err != nil {
		return err
	}
	if i.wantsJSON() {
		return i.printJSON(answer.Body)
	}
	i.noteRecorded(s.Recorded, s.From)
	i.note("Has: %s", printable(permissionText(s.Current)))
	for _, on := range s.Reasons {
		i.note("%s: %s, the last %s", printable(on.API), printable(on.Detail), stamp(&on.LastAt))
	}
	command, err := suggestedCommand(i.args[0], &s)
	if err != nil {
		return err
	}
	if command == "" {
		i.note("The key has no more than it needs.")
		return nil
	}
	return i.print([]byte(command + "\n"))
}

// suggestedCommand returns the command that does what is suggested; "" if there
// is nothing to do.
func suggestedCommand(id string, s *admin.Suggestion) (string, error) {
	if s.Requests == 0 {
		return "keywarden keys disable " + id, nil
	}
	if permissionText(s.Permissions) == permissionText(s.Current) {
		return "", nil
	}
	words := []string{"keywarden keys edit", id}
	for _, rule := range allowRules(s.Permissions) {
		quoted, err := quoteWord(rule)
		if err != nil {
			return "", err
		}
		words = append(words, "--allow "+quoted)
	}
	return strings.Join(words, " "), nil
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./=:@,+%-]+$`)

// quoteWord writes a word so that a shell reads it as it is. Ids of endpoints
// are captured from paths: callers choose them.
func quoteWord(word string) (string, error) {
	switch {
	case plainWord.MatchString(word):
		return word, nil
	case printable(word) != word:
		return "", fmt.Errorf("the id of an endpoint can't be printed: %s; use --json", printable(word))
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'", nil
}

// unusedSince returns what --unused-since says; zero where it is not given.
func (i *invocation) unusedSince() (time.Time, error) {
	text, err := i.cmd.Flags().GetString("unused-since")
	if err != nil {
		return time.Time{}, usagef("%v", err)
	}
	if !i.cmd.Flags().Changed("unused-since") {
		return time.Time{}, nil
	}
	text = strings.TrimSpace(text)
	at, err := time.Parse(time.DateOnly, text)
	if err == nil {
		return at, nil
	}
	if at, err = time.Parse(time.RFC3339, strings.ToUpper(text)); err == nil {
		return at, nil
	}
	if d, err := caddy.ParseDuration(text); err == nil && d >= 0 {
		return i.Now().Add(-d), nil
	}
	return time.Time{}, usagef("--unused-since %s: expected a duration (30d), a date (2026-01-31) or RFC 3339 (2026-01-31T12:00:00Z)", text)
}
