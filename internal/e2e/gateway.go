// Package e2e starts the real binary as an operator would, and talks to it as
// callers and administrators do. The tests beside it, and those of the
// examples, are written from the contract alone: nothing here imports a package
// that the product is made of.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/freeport"
)

// The addresses that Caddyfiles of tests and examples are written with. Start
// puts free ones in their place.
const (
	gatewayAddress  = "localhost:8080"
	adminAddress    = "localhost:2020"
	upstreamAddress = "127.0.0.1:9000"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
	// PollEvery is how often something of another process is looked at.
	PollEvery = 5 * time.Millisecond
)

// Gateway is a running keywarden.
type Gateway struct {
	URL      string // of the gateway
	AdminURL string // of the admin API
	Dir      string // its working directory
	Config   string // its configuration file
	AdminKey string // a secret with admin: write, where there is one

	t      testing.TB
	env    []string
	cmd    *exec.Cmd
	output *Output
	ports  *strings.Replacer
	exited chan struct{}
	client *http.Client
}

// Options say what to start.
type Options struct {
	Config   string   // text of the configuration
	JSON     bool     // it is JSON, not a Caddyfile
	Upstream string   // host and port; empty: nothing listens there
	Dir      string   // empty: a new one
	Env      []string // on top of a clean environment
	AdminKey string   // where it stands in the configuration
	NoAdmin  bool     // the configuration has no admin API
}

// Start starts the binary and returns when it is ready. It ends with the test.
func Start(t testing.TB, o Options) *Gateway {
	t.Helper()
	const attempts = 5 // another process may take a free port first
	for range attempts {
		g := launch(t, o)
		err := g.awaitReady(!o.NoAdmin)
		if err == nil && strings.Contains(o.Config, "http://"+gatewayAddress) {
			g.awaitListening() // servers start one after the other
		}
		if err == nil {
			g.readAdminKey(o)
			return g
		}
		if !strings.Contains(g.Output(), "address already in use") {
			t.Fatalf("keywarden did not start: %v\n%s", err, g.Output())
		}
	}
	t.Fatalf("found no free ports in %d attempts", attempts)
	return nil
}

// StartRefused starts the binary, which must end by itself with a failure, and
// returns what it printed.
func StartRefused(t testing.TB, o Options) string {
	t.Helper()
	g := launch(t, o)
	select {
	case <-g.exited:
	case <-time.After(startTimeout):
		t.Fatalf("keywarden did not refuse to start:\n%s", g.Output())
	}
	if g.cmd.ProcessState.Success() {
		t.Errorf("keywarden ended with success; its output:\n%s", g.Output())
	}
	return g.Output()
}

func launch(t testing.TB, o Options) *Gateway {
	t.Helper()
	g := prepare(t, o)
	g.cmd = exec.Command(Binary(t), "run", "--config", g.Config)
	g.cmd.Dir, g.cmd.Env = g.Dir, g.env
	g.cmd.Stdout, g.cmd.Stderr = g.output, g.output
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = g.cmd.Wait() // its state says how it ended
		close(g.exited)
	}()
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		_ = g.cmd.Process.Kill() // it may have ended
		<-g.exited
		if hasRace(g.Output()) {
			t.Error("the race detector found a race")
		}
		if t.Failed() {
			t.Logf("output of keywarden in %s:\n%s", g.Dir, g.Output())
		}
	})
	return g
}

// hasRace reports whether the race detector has found a race of ours. Caddy's
// access log reads how much of a body was read while net/http's transport may
// still read on; no function of ours is part of that.
func hasRace(output string) bool {
	for _, report := range strings.Split(output, "WARNING: DATA RACE")[1:] {
		report, _, _ = strings.Cut(report, "==================")
		if strings.Contains(report, "caddy-keywarden/keywarden/") {
			return true
		}
	}
	return false
}

// prepare lays out the files of a gateway that is not started yet.
func prepare(t testing.TB, o Options) *Gateway {
	t.Helper()
	dir := o.Dir
	if dir == "" {
		dir = t.TempDir()
	}
	ports := freeport.Take(t, 3)
	upstream := o.Upstream
	if upstream == "" {
		upstream = freeport.Addresses(t, 1)[0]
	}
	gateway, admin := fmt.Sprintf("localhost:%d", ports[0]), fmt.Sprintf("localhost:%d", ports[1])
	g := &Gateway{
		URL: "http://" + gateway, AdminURL: "http://" + admin, Dir: dir, AdminKey: o.AdminKey,
		t: t, output: &Output{}, exited: make(chan struct{}),
		ports:  strings.NewReplacer(gatewayAddress, gateway, adminAddress, admin, upstreamAddress, upstream),
		client: newClient(),
	}
	name := "%d.Caddyfile" // Caddy knows a configuration's language by its name
	if o.JSON {
		name = "%d.json"
	}
	g.Config = filepath.Join(dir, fmt.Sprintf(name, ports[0]))
	g.WriteConfig(o.Config)
	g.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"XDG_DATA_HOME=" + filepath.Join(dir, "xdg-data"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "xdg-config"),
		fmt.Sprintf("CADDY_ADMIN=localhost:%d", ports[2]),
	}, o.Env...)
	return g
}

// WriteConfig replaces the configuration file; Reload makes it count.
func (g *Gateway) WriteConfig(text string) {
	g.t.Helper()
	if err := os.WriteFile(g.Config, []byte(g.ports.Replace(text)), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// Reload runs keywarden reload and returns what it printed.
func (g *Gateway) Reload() (string, error) {
	cmd := g.Command("reload", "--config", g.Config)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Command returns a keywarden command in the gateway's directory and
// environment, pointed at its admin API.
func (g *Gateway) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(Binary(g.t), args...)
	cmd.Dir = g.Dir
	cmd.Env = append(append([]string{}, g.env...), "KEYWARDEN_ADDRESS="+g.AdminURL)
	return cmd
}

// Stop ends the gateway as an operator would, and waits for it.
func (g *Gateway) Stop() {
	g.t.Helper()
	g.client.CloseIdleConnections()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
	select {
	case <-g.exited:
	case <-time.After(stopTimeout):
		g.t.Fatalf("keywarden did not stop:\n%s", g.Output())
	}
}

// Kill ends the gateway as a power cut would, kill -9.
func (g *Gateway) Kill() {
	g.t.Helper()
	if err := g.cmd.Process.Kill(); err != nil {
		g.t.Fatal(err)
	}
	<-g.exited
}

// Output returns all that the gateway printed so far.
func (g *Gateway) Output() string { return g.output.String() }

// awaitListening waits until the gateway takes connections; where it does not
// within startTimeout, the test's own requests say so.
func (g *Gateway) awaitListening() {
	for began := time.Now(); time.Since(began) < startTimeout; time.Sleep(PollEvery) {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(g.URL, "http://"), time.Second)
		if err == nil {
			_ = conn.Close() // nothing was sent
			return
		}
	}
}

func (g *Gateway) awaitReady(admin bool) error {
	ready := g.AdminURL + "/readyz"
	if !admin {
		ready = g.URL + "/healthz"
	}
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		select {
		case <-g.exited:
			return fmt.Errorf("it ended: %v", g.cmd.ProcessState)
		case <-time.After(PollEvery):
		}
		response, err := g.client.Get(ready)
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK || !admin {
			return nil
		}
	}
	return errors.New("it was not ready in time")
}

// readAdminKey takes the bootstrap key, if this start or an earlier one in
// the same folder wrote one. Tests that need one and have none get 401.
func (g *Gateway) readAdminKey(o Options) {
	g.t.Helper()
	if o.AdminKey != "" || o.NoAdmin {
		return
	}
	// Beside the database: the tests' own place, and the default one; or,
	// with a database elsewhere, Caddy's data directory.
	for _, folder := range []string{"data", "xdg-data/caddy/keywarden", "xdg-data/caddy"} {
		text, err := os.ReadFile(filepath.Join(g.Dir, folder, "admin.key"))
		if err == nil {
			g.AdminKey = strings.TrimSpace(string(text))
			return
		}
	}
}

func newClient() *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 256,
			// The sites of tests bind to IPv4 alone.
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp4", address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Output collects what a process prints.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
