// Package cli is the command line: keywarden keys, login and logout speak to a
// gateway over HTTP as any other client does; what these and keywarden store
// need of the gateway's own machine is handed in by the binary.
package cli

import (
	"context"
	"os"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// Gateway is the gateway that a configuration on this machine describes,
// whether it runs or not.
type Gateway interface {
	// Address is where its admin API is reached.
	Address() string
	// Accepts says whether secret is an admin key of it, and with which
	// access: read or write.
	Accepts(ctx context.Context, secret string) (access string, ok bool, err error)
	// MakeAdminKey makes an admin key in its store and returns the secret.
	MakeAdminKey(ctx context.Context, name string) (secret string, err error)
	Close() error
}

// Options are what the commands need besides a terminal.
type Options struct {
	// OpenGateway opens the gateway of a configuration file, read by the
	// named config adapter; "" chooses by the file's name, as Caddy does.
	OpenGateway func(ctx context.Context, configFile, adapter string) (Gateway, error)
	// Examine looks at a configuration file and at what it leads to.
	Examine func(ctx context.Context, configFile, adapter string) ([]Finding, error)
	// KeyPrefix reads the prefix of secrets from a configuration file.
	KeyPrefix func(configFile, adapter string) (string, error)
	// CopyStore copies one store into another; each is named by one text.
	CopyStore func(ctx context.Context, from, to string, report CopyReport) error
	Getenv    func(string) string    // nil: os.Getenv
	Hostname  func() (string, error) // nil: os.Hostname
	Now       func() time.Time       // nil: time.Now
}

// Register adds the commands to Caddy's. It is called by our own binary only:
// a Caddy built with our modules keeps its command line as it is.
func Register(o Options) {
	p := newProgram(o, caddyExit)
	for _, c := range p.commands() {
		caddycmd.RegisterCommand(caddycmd.Command{Name: c.name, Usage: c.usage, Short: c.short, Long: c.long, CobraFunc: c.build})
	}
}

// command is a top-level command, as Caddy wants to be told of it.
type command struct {
	name, usage, short, long string
	build                    func(*cobra.Command)
}

// program is what all commands share.
type program struct {
	Options
	// exit turns the error of a command into what the process ends with.
	exit func(*cobra.Command, *statusError) error
	// batchKeys is how many keys an import sends at a time.
	batchKeys int
}

func newProgram(o Options, exit func(*cobra.Command, *statusError) error) *program {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Hostname == nil {
		o.Hostname = os.Hostname
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &program{Options: o, exit: exit, batchKeys: maxBatchKeys}
}

func (p *program) commands() []command {
	return []command{
		{"keys", "", "Creates, lists, edits and deletes API keys", keysLong, p.keys},
		{"apis", "", "Lists the declared APIs, and registers their endpoints", apisLong, p.apis},
		{"store", "", "Copies keys from one store into another", storeLong, p.store},
		{"doctor", "[--config FILE]", "Looks for what is wrong with a gateway, and says what to do", doctorLong, p.doctor},
		{"leak-rules", "[--prefix PREFIX | --config FILE] [--format gitleaks|trufflehog|github]", "Prints rules by which scanners find secrets", leakRulesLong, p.leakRules},
		{"login", "[URL]", "Saves an admin key for the keys commands", loginLong, p.login},
		{"logout", "", "Forgets the saved admin key", logoutLong, p.logout},
	}
}
