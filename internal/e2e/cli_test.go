package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cli runs a keywarden command with the admin key in the environment, and
// returns its standard output, standard error and exit status.
func (g *Gateway) cli(stdin string, args ...string) (stdout, stderr string, status int) {
	g.t.Helper()
	cmd := g.Command(args...)
	cmd.Env = append(cmd.Env, "KEYWARDEN_ADMIN_KEY="+g.AdminKey)
	return g.finish(cmd, stdin)
}

func (g *Gateway) finish(cmd *exec.Cmd, stdin string) (stdout, stderr string, status int) {
	g.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		g.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestSecretCanBeTakenFromTheShell(t *testing.T) {
	g, _ := start(t)
	script := `KEY=$(` + Binary(t) + ` keys create ci --all) && printf %s "$KEY"`
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(g.Command().Env, "KEYWARDEN_ADMIN_KEY="+g.AdminKey)
	secret, stderr, status := g.finish(cmd, "")
	if status != 0 || stderr == "" {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	if strings.Contains(stderr, secret) {
		t.Error("the secret is on standard error, too")
	}
	Expect(t, g.Call("POST", "/rest/users", "{}", Bearer(secret)), http.StatusOK, "")
}

func TestCommandLineWalksTheWholeLifecycle(t *testing.T) {
	g, _ := start(t)
	out, stderr, status := g.cli("", "keys", "create", "deploy", "--allow", "rest=read", "--allow", "serverless/abc=write",
		"--owner", "team-7", "--expires", "30d", "--json")
	if status != 0 {
		t.Fatalf("create: %d %s", status, stderr)
	}
	var made struct{ ID, Secret, Owner string }
	if err := json.Unmarshal([]byte(out), &made); err != nil || made.Owner != "team-7" {
		t.Fatalf("create --json printed %v: %v", made, err)
	}
	expect := func(method, target string, status int, code string) {
		t.Helper()
		Expect(t, g.Call(method, target, "", Bearer(made.Secret)), status, code)
	}
	run := func(want int, args ...string) string {
		t.Helper()
		stdout, stderr, status := g.cli("", append([]string{"keys"}, args...)...)
		if status != want {
			t.Errorf("keys %s: exit status %d, want %d: %s%s", strings.Join(args, " "), status, want, stdout, stderr)
		}
		return stdout
	}
	expect("GET", "/rest/users", 200, "")
	expect("POST", "/v2/abc/run", 200, "")
	expect("POST", "/v2/def/run", 403, "insufficient_access")

	if list := run(0, "list", "--owner", "team-7"); !strings.Contains(list, "deploy") {
		t.Errorf("list printed %s", list)
	}
	if list := run(0, "list", "--query", "bootstrap", "--json"); !strings.Contains(list, "bootstrap") || strings.Contains(list, "deploy") {
		t.Errorf("list --query printed %s", list)
	}
	if key := run(0, "get", made.ID); !strings.Contains(key, "deploy") {
		t.Errorf("get printed %s", key)
	}
	run(0, "check", made.ID, "GET", "/rest/users")
	run(1, "check", made.ID, "POST", "/rest/users")
	run(0, "disable", made.ID)
	expect("GET", "/rest/users", 401, "disabled_key")
	run(0, "enable", made.ID)
	run(0, "edit", made.ID, "--name", "deployer", "--read-only", "--expires", "never")
	expect("GET", "/v2/def/status/1", 200, "")

	old := made.Secret
	made.Secret = strings.TrimSpace(run(0, "rotate", made.ID, "--grace", "24h"))
	expect("GET", "/rest/users", 200, "")
	Expect(t, g.Call("GET", "/rest/users", "", Bearer(old)), http.StatusOK, "")
	if stdout, _, status := g.cli(made.Secret+"\n", "keys", "check", "-", "GET", "/rest/users"); status != 0 {
		t.Errorf("check -: %d %s", status, stdout)
	}

	if _, _, status := g.cli("n\n", "keys", "delete", made.ID); status == 0 {
		expect("GET", "/rest/users", 200, "")
	}
	expect("GET", "/rest/users", 200, "")
	run(0, "delete", made.ID, "--yes")
	expect("GET", "/rest/users", 401, "unknown_key")
	run(1, "get", made.ID)
}

func TestWrongUseExitsWithTwo(t *testing.T) {
	g, _ := start(t)
	for _, args := range [][]string{
		{"keys", "create"},
		{"keys", "create", "n", "--nope"},
		{"keys", "create", "n", "--all", "--read-only"},
		{"keys", "create", "n", "--allow", "rest"},
		{"keys", "create", "n", "--all", "--expires", "soon"},
		{"keys", "rotate"},
		{"keys", "check", "key_1"},
		{"keys", "nope"},
	} {
		if stdout, stderr, status := g.cli("", args...); status != 2 || stdout != "" {
			t.Errorf("%s: exit status %d, want 2; printed %q, %s", strings.Join(args, " "), status, stdout, stderr)
		}
	}
}

func TestLoginSavesAKeyThatOnlyItsOwnerReadsAndLogoutForgetsIt(t *testing.T) {
	g, _ := start(t)
	run := func(stdin string, want int, args ...string) string {
		t.Helper()
		cmd := g.Command(args...)
		cmd.Env = g.env // neither address nor key from the environment
		stdout, stderr, status := g.finish(cmd, stdin)
		if status != want {
			t.Errorf("%s: exit status %d, want %d: %s%s", strings.Join(args, " "), status, want, stdout, stderr)
		}
		return stderr
	}
	if says := run("", 1, "keys", "list", "--address", g.AdminURL); !strings.Contains(says, "keywarden login") {
		t.Errorf("without a login the error is %q", says)
	}
	run("nonsense\n", 1, "login", g.AdminURL)
	run(g.AdminKey+"\n", 0, "login", g.AdminURL)
	file := filepath.Join(g.Dir, "xdg-config", "keywarden", "credentials.json")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the saved login: %v %v", info, err)
	}
	run("", 0, "keys", "list")
	run("", 0, "logout")
	run("", 1, "keys", "list")
}

func TestImportNamesTheFaultyLine(t *testing.T) {
	g, _ := start(t)
	file := filepath.Join(g.Dir, "keys.jsonl")
	good := `{"name":"old","permissions":{"mode":"read_only"},"secret":"sk-live-0123456789abcdef"}`
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(good + "\n" + `{"name":"bad"}` + "\n")
	if _, stderr, status := g.cli("", "keys", "import", file); status != 1 || !strings.Contains(stderr, "line 2") {
		t.Errorf("import of a faulty file: %d %s", status, stderr)
	}
	Expect(t, g.Call("GET", "/rest/users", "", Bearer("sk-live-0123456789abcdef")), http.StatusUnauthorized, "unknown_key")
	write(good + "\n\n")
	if _, stderr, status := g.cli("", "keys", "import", file); status != 0 {
		t.Errorf("import: %d %s", status, stderr)
	}
	Expect(t, g.Call("GET", "/rest/users", "", Bearer("sk-live-0123456789abcdef")), http.StatusOK, "")
}

func TestCaddysOwnCommandsKnowTheModules(t *testing.T) {
	g, _ := start(t)
	out, _, status := g.cli("", "list-modules")
	for _, module := range []string{"api_keys", "http.handlers.api_key_auth", "http.handlers.api_key_admin"} {
		if status != 0 || !strings.Contains(out, module+"\n") {
			t.Errorf("list-modules does not name %s", module)
		}
	}
	if out, stderr, status := g.cli("", "validate", "--config", g.Config); status != 0 {
		t.Errorf("validate: %d %s%s", status, out, stderr)
	}
	if out, stderr, status := g.cli("", "adapt", "--config", g.Config); status != 0 || !strings.Contains(out, `"api_key_auth"`) {
		t.Errorf("adapt: %d %s%s", status, out, stderr)
	}
	g.WriteConfig(strings.Replace(caddyfile, "graphql\n\t\t}", "graphql\n\t\t\tnope\n\t\t}", 1))
	if _, stderr, status := g.cli("", "validate", "--config", g.Config); status != 1 || !strings.Contains(stderr, ".Caddyfile:18") || !strings.Contains(stderr, "nope") {
		t.Errorf("validate of a faulty file: %d %s; want its file, line and word", status, stderr)
	}
}
