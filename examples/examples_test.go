// Package examples holds one folder a situation: a configuration to copy, what
// it is for, and the requests that show it. The test runs them all against the
// real binary, in front of the example API.
package examples

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
	"github.com/caddy-keywarden/keywarden/internal/freeport"
)

// configs are the names that a folder's configuration may have.
var configs = []string{"Caddyfile", "caddy.json"}

// code is what an expectation's word looks like where it names a refusal.
var code = regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)

// variable is a line that says what the environment holds.
var variable = regexp.MustCompile(`(?m)^env (\S+) (\S+)$`)

// A file of requests has lines of these kinds:
//
//	# a remark
//	env VARIABLE VALUE
//	key NAME PERMISSIONS
//	NAME|- METHOD TARGET [HEADER: VALUE]... BODY -> STATUS CODE|"TEXT"
//	NAME|- GRPC /PACKAGE.SERVICE/METHOD MESSAGE -> CODE
//
// NAME is the key whose secret is presented as a bearer, - is none. {NAME}
// stands for its secret, {basic NAME} for the secret as Basic credentials.
// The answer must have the status and, where given, the refusal's code, or
// contain the text.
type requests struct {
	gateway *e2e.Gateway
	secrets map[string]string
}

func TestEveryExampleDoesWhatItSays(t *testing.T) {
	folders, err := filepath.Glob("*/requests")
	if err != nil || len(folders) < 7 {
		t.Fatalf("found %d examples: %v", len(folders), err)
	}
	for _, file := range folders {
		folder := filepath.Dir(file)
		t.Run(folder, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(folder, "README.md")); err != nil {
				t.Errorf("the example does not say what it is for: %v", err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			options := configOf(t, folder)
			options.Upstream = startUpstream(t)
			for _, env := range variable.FindAllStringSubmatch(string(text), -1) {
				options.Env = append(options.Env, env[1]+"="+env[2])
				if env[1] == "KEYWARDEN_ADMIN_KEY" {
					options.AdminKey = env[2]
				}
			}
			r := requests{e2e.Start(t, options), map[string]string{}}
			for i, line := range strings.Split(string(text), "\n") {
				line = strings.TrimSpace(line)
				if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "env ") {
					continue
				}
				if err := r.run(line); err != nil {
					t.Errorf("%s:%d: %v", file, i+1, err)
				}
			}
		})
	}
}

// TestEveryFolderIsRun keeps an example from being passed over.
func TestEveryFolderIsRun(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string]bool{"run": true, "upstream": true}
	for _, e := range entries {
		if !e.IsDir() || programs[e.Name()] {
			continue
		}
		if _, err := os.Stat(filepath.Join(e.Name(), "requests")); err != nil {
			t.Errorf("%s has no requests: %v", e.Name(), err)
		}
	}
}

func configOf(t *testing.T, folder string) e2e.Options {
	t.Helper()
	for _, name := range configs {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err == nil {
			return e2e.Options{Config: string(text), JSON: strings.HasSuffix(name, ".json")}
		}
	}
	t.Fatalf("%s has none of %v", folder, configs)
	return e2e.Options{}
}

// startUpstream starts the example API and returns its address.
func startUpstream(t *testing.T) string {
	t.Helper()
	address := freeport.Addresses(t, 1)[0]
	binary := filepath.Join(filepath.Dir(e2e.Binary(t)), "upstream")
	cmd := exec.Command(binary, "-listen", address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	e2e.Eventually(t, 10*time.Second, "answered by the example API", func() bool {
		response, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	return address
}

func (r *requests) run(line string) error {
	if declared, ok := strings.CutPrefix(line, "key "); ok {
		return r.create(declared)
	}
	request, expected, ok := strings.Cut(line, "->")
	if !ok {
		return fmt.Errorf("%q has no ->", line)
	}
	if fields := strings.Fields(request); len(fields) > 2 && fields[1] == "GRPC" {
		return r.call(fields[0], fields[2], strings.Join(fields[3:], " "), strings.TrimSpace(expected))
	}
	answer, err := r.send(strings.TrimSpace(request))
	if err != nil {
		return err
	}
	status, rest, _ := strings.Cut(strings.TrimSpace(expected), " ")
	want, err := strconv.Atoi(status)
	if err != nil {
		return err
	}
	switch rest = strings.TrimSpace(rest); {
	case answer.Status != want:
	case code.MatchString(rest) && answer.Text("code") != rest:
	case !code.MatchString(rest) && !strings.Contains(string(answer.Body), strings.Trim(rest, `"`)) && !strings.Contains(string(answer.Body), rest):
	default:
		return nil
	}
	return fmt.Errorf("%s\n\tanswered %s", line, answer)
}

func (r *requests) create(declared string) error {
	name, permissions, _ := strings.Cut(declared, " ")
	var parsed map[string]any
	if err := json.Unmarshal([]byte(permissions), &parsed); err != nil {
		return fmt.Errorf("permissions of key %s: %w", name, err)
	}
	r.secrets[name] = r.gateway.Create(map[string]any{"name": name, "permissions": parsed}).Secret
	return nil
}

func (r *requests) send(request string) (e2e.Answer, error) {
	for name, secret := range r.secrets {
		basic := base64.StdEncoding.EncodeToString([]byte(secret + ":"))
		request = strings.NewReplacer("{"+name+"}", secret, "{basic "+name+"}", basic).Replace(request)
	}
	fields := strings.Fields(request)
	if len(fields) < 3 {
		return e2e.Answer{}, fmt.Errorf("%q: expected a key or -, a method and a target", request)
	}
	who, method, target := fields[0], fields[1], fields[2]
	rest := strings.TrimSpace(request[strings.Index(request, target)+len(target):])
	headers := []e2e.Header{{Name: "Content-Type", Value: "application/json"}}
	if who != "-" {
		secret, ok := r.secrets[who]
		if !ok {
			return e2e.Answer{}, fmt.Errorf("there is no key %q", who)
		}
		headers = append(headers, e2e.Bearer(secret))
	}
	for strings.HasPrefix(rest, "[") && !json.Valid([]byte(rest)) {
		header, after, _ := strings.Cut(rest[1:], "]")
		name, value, _ := strings.Cut(header, ": ")
		headers = append(headers, e2e.Header{Name: name, Value: value})
		rest = strings.TrimSpace(after)
	}
	return r.gateway.TryCall(method, target, rest, headers...)
}
