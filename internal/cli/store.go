package cli

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// CopyReport is who hears of a copy that CopyStore makes.
type CopyReport struct {
	// Note is told in words what a person should know.
	Note func(text string)
	// Progress is told how many of all rows of a table, such as "keys", are
	// copied, or checked when all tables are copied.
	Progress func(table string, checking bool, done, all int64)
}

const storeLong = `
Works on the stores in which gateways keep keys, without a gateway: on a
machine that reaches them.`

// store fills in the command "store" and those below it.
func (p *program) store(cmd *cobra.Command) {
	cmd.Use = "store"
	cmd.DisableFlagsInUseLine = true
	cmd.SetFlagErrorFunc(p.flagFault)
	p.action(cmd, []string{"[COMMAND]"}, func(_ context.Context, i *invocation) error {
		if len(i.args) > 0 {
			return usagef("unknown command %q", i.args[0])
		}
		return i.cmd.Help()
	})
	cmd.AddCommand(p.copyStore())
}

func (p *program) copyStore() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copies all keys from one store into another",
		Long: `
Copies everything that one store holds into another, which must be empty: keys
with their ids, versions and times, the digests of their secrets, the audit and
the registered endpoints. No key is reissued. What was copied is read again and
compared before it counts: TO has all of it or nothing, whatever happens.

A store is sqlite:PATH or a URL postgres://…, or env:NAME for an environment
variable that holds one of these: so no password can be read in the list of
processes. FROM is only read, but brought up to date if an older version wrote
it. Stop the gateways first: what they change meanwhile is not copied.`,
		Example: `  DATABASE_URL=postgres://keywarden:…@db/keywarden
  keywarden store copy sqlite:./data/keys.db env:DATABASE_URL
  keywarden store copy env:DATABASE_URL sqlite:./keys.db`,
		DisableFlagsInUseLine: true,
	}
	p.action(cmd, []string{"FROM", "TO"}, runCopy)
	return cmd
}

func runCopy(ctx context.Context, i *invocation) error {
	if i.CopyStore == nil {
		return errors.New("this build can't open stores")
	}
	from, err := i.storeAddress("FROM", i.args[0])
	if err != nil {
		return err
	}
	to, err := i.storeAddress("TO", i.args[1])
	if err != nil {
		return err
	}
	progress := &copyProgress{invocation: i, next: i.Now().Add(copyNews)}
	err = i.CopyStore(ctx, from, to, CopyReport{
		Note:     func(text string) { i.note("Note: %s.", printable(text)) },
		Progress: progress.tell,
	})
	if err != nil {
		return without(err, from, to)
	}
	i.note("Done: the copy was checked, and holds all.")
	return nil
}

// storeAddress returns the address that was given, or that the environment
// holds.
func (i *invocation) storeAddress(name, given string) (string, error) {
	variable, ok := strings.CutPrefix(given, "env:")
	if !ok {
		if password(given) != "" {
			i.note("Warning: %s has a password in it, which other users can read in the list of processes; give env:NAME instead.", name)
		}
		return given, nil
	}
	address := strings.TrimSpace(i.Getenv(variable))
	if address == "" {
		return "", usagef("%s: the environment variable %s is not set", name, variable)
	}
	return address, nil
}

// A password stands in a URL, or among keywords and values (libpq takes both:
// https://www.postgresql.org/docs/current/libpq-connect.html).
var (
	urlPassword     = regexp.MustCompile(`://[^:/?]*:([^/?]*)@`)
	keywordPassword = regexp.MustCompile(`\bpassword\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^\s&']+))`)
)

// password returns the password in an address as it stands there; "" for none.
func password(address string) string {
	for _, pattern := range []*regexp.Regexp{urlPassword, keywordPassword} {
		found := pattern.FindStringSubmatch(address)
		for _, group := range found[min(1, len(found)):] {
			if group != "" {
				return group
			}
		}
	}
	return ""
}

// without returns err, or, if its text holds an address of a store or the
// password in one, what is left without it. Stores don't repeat them; drivers
// have been known to.
func without(err error, addresses ...string) error {
	text := err.Error()
	for _, address := range addresses {
		if strings.HasPrefix(address, "sqlite:") {
			continue // a path, which people need to see
		}
		secrets := []string{address, password(address)}
		if plain, err := url.PathUnescape(password(address)); err == nil {
			secrets = append(secrets, plain)
		}
		for _, secret := range secrets {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "…")
			}
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// copyNews is how often a person hears of a table that takes long.
const copyNews = 2 * time.Second

// copyProgress writes what a copy has come to.
type copyProgress struct {
	*invocation
	next time.Time
}

func (p *copyProgress) tell(table string, checking bool, done, all int64) {
	doing, did := "Copying", "Copied"
	if checking {
		doing, did = "Checking", "Checked"
	}
	now := p.Now()
	switch {
	case done == all:
		p.note("%s %d %s.", did, all, table)
	case now.Before(p.next):
		return
	default:
		p.note("%s %s: %d of %d (%d %%)", doing, table, done, all, 100*done/all)
	}
	p.next = now.Add(copyNews)
}
