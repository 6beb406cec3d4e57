package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// envMain makes this test binary be the command line, so that what Caddy's
// main makes of our errors is tested in a process of its own.
const envMain = "KEYWARDEN_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(envMain) != "" {
		Register(Options{})
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}

// process returns the command line as a process, with nothing of our own
// environment but what it needs to start.
func process(t *testing.T, env map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = []string{envMain + "=1", "HOME=" + t.TempDir()}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func TestTheProcessEndsWithTheStatusAndSaysWhyOnce(t *testing.T) {
	g := newGateway(t)
	env := g.console(t).env
	for _, x := range []struct {
		args   string
		status int
		says   string
	}{
		{"keys create ci --read-only", 0, "Created key"},
		{"keys", 0, ""},
		{"keys --help", 0, ""},
		{"keys create --help", 0, ""},
		{"keys get key_nope", 1, "no key has this id"},
		{"keys delete key_nope --yes", 1, "no key has this id"},
		{"keys check - GET /rest/x", 1, "standard input is empty"},
		{"keys list --address http://127.0.0.1:1", 1, "calling http://127.0.0.1:1"},
		{"login --config Caddyfile", 1, "this build can't read configurations"},
		{"keys nope", 2, "unknown command"},
		{"keys create", 2, "NAME is missing"},
		{"keys create ci", 2, "nothing says what the key may do"},
		{"keys create ci --nope", 2, "unknown flag: --nope"},
		{"keys list --key=kw_secret", 2, "never given as a flag"},
		{"login --nope", 2, "unknown flag: --nope"},
		{"logout now", 2, "expected no arguments"},
	} {
		cmd := process(t, env, strings.Fields(x.args)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != x.status || strings.Count(errs.String(), x.says) < 1 || strings.Count(errs.String(), "Error") > 1 {
			t.Errorf("keywarden %s: status %d, want %d and %q once\n%s", x.args, got, x.status, x.says, errs.String())
		}
		if strings.Contains(errs.String(), "exiting with status") {
			t.Errorf("keywarden %s: %s", x.args, errs.String())
		}
	}
}
