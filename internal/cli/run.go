package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit statuses of the contract's section 8.
const (
	statusFailed = 1
	statusUsage  = 2
)

// statusError ends the process with a status. What there is to say has been
// said already.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// usageError is a command that was typed wrongly.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// errRefused fails a command that has told its result already.
var errRefused = errors.New("refused")

// caddyExit returns what makes Caddy's main end with the status. For 2 that is
// an error type that only this wrapper can make; it must be given no error to
// log, as ours has been printed.
func caddyExit(cmd *cobra.Command, err *statusError) error {
	if err.status == statusFailed {
		return err
	}
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return err.status, nil })(cmd, nil)
}

// invocation is one command being run.
type invocation struct {
	*program
	cmd  *cobra.Command
	args []string
	in   io.Reader
	out  io.Writer
	err  io.Writer
}

// action makes cmd run f with exactly the named arguments; a name in brackets
// may be left out. Faults of every kind leave through here, so that each is
// printed once and has its status.
func (p *program) action(cmd *cobra.Command, names []string, f func(context.Context, *invocation) error) {
	cmd.SilenceErrors = true
	cmd.SilenceUsage = true
	cmd.Args = cobra.ArbitraryArgs // counted here, as cobra's own error would end with status 1
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkArgs(names, args); err != nil {
			return p.finish(cmd, err)
		}
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
		defer stop()
		// A second Ctrl-C ends the process whatever it is doing.
		defer context.AfterFunc(ctx, stop)()
		err := f(ctx, &invocation{program: p, cmd: cmd, args: args, in: cmd.InOrStdin(), out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()})
		return p.finish(cmd, err)
	}
}

func checkArgs(names, args []string) error {
	required := len(names)
	if required > 0 && strings.HasPrefix(names[required-1], "[") {
		required--
	}
	switch {
	case len(names) == 0 && len(args) > 0:
		return usagef("expected no arguments, found %q", args[0])
	case len(args) > len(names):
		return usagef("expected %s, found one more: %q", strings.Join(names, " "), args[len(names)])
	case len(args) < required:
		return usagef("expected %s: %s is missing", strings.Join(names, " "), names[len(args)])
	}
	for i, arg := range args {
		if strings.TrimSpace(arg) == "" {
			return usagef("%s is empty", strings.Trim(names[i], "[]"))
		}
	}
	return nil
}

// flagFault is cobra's hook for flags that can't be parsed; it is inherited by
// the commands below.
func (p *program) flagFault(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	cmd.SilenceErrors = true
	cmd.SilenceUsage = true
	return p.finish(cmd, flagError(err))
}

// secretFlags are what people try; a flag's value can be read by every user of
// the machine (ps), and stays in the shell's history.
var secretFlags = []string{"key", "admin-key", "api-key", "apikey", "secret", "token", "password"}

func flagError(err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usagef("%v", err)
	}
	name := unknown.GetSpecifiedName()
	if slices.Contains(secretFlags, name) {
		return usagef("--%s: an admin key is never given as a flag, where other users and the shell's history could read it; use keywarden login, or set KEYWARDEN_ADMIN_KEY", name)
	}
	if unknown.GetSpecifiedShortnames() != "" {
		// Without what came after it: -k SECRET is a likely slip.
		return usagef("unknown flag: -%s", name)
	}
	return usagef("unknown flag: --%s", name)
}

// finish prints err and returns what the process ends with.
func (p *program) finish(cmd *cobra.Command, err error) error {
	var usage *usageError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errRefused):
		return p.exit(cmd, &statusError{statusFailed, err})
	case errors.As(err, &usage):
		tell(cmd.ErrOrStderr(), "Error: %s\nUsage: %s\nSee %s --help", printable(err.Error()), cmd.UseLine(), cmd.CommandPath())
		return p.exit(cmd, &statusError{statusUsage, err})
	}
	tell(cmd.ErrOrStderr(), "Error: %s", explain(err))
	return p.exit(cmd, &statusError{statusFailed, err})
}

// tell writes a line for a person. Where even standard error can't be written
// there is nobody left to tell, and the status still says what happened.
func tell(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...)
}
