package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	adminKey = "overhead-admin-key-0123456789abcdef"
	// patience is how long a gateway may take to start, to end or to answer;
	// under valgrind everything takes fifty times as long.
	patience = 2 * time.Minute
)

// gateway is a running program in one of the two configurations.
type gateway struct {
	name                string
	front, back, manage string // addresses
	secrets             []string
	cmd                 *exec.Cmd
	exited              chan struct{}
	mu                  sync.Mutex
	output              bytes.Buffer
}

// caddyfile is the configuration, which differs in nothing but api_key_auth
// and what that needs.
func (g *gateway) caddyfile(dir, upstream string, auth, logs bool) string {
	keeps, judges, manages, log := "", "", "", ""
	if logs {
		log = "\tlog {\n\t\toutput file " + filepath.Join(dir, "access.log") + "\n\t}\n"
	}
	if auth {
		keeps = "\tapi_keys {\n\t\tstore sqlite " + filepath.Join(dir, "keys.db") + "\n\t\tadmin_key " + adminKey + "\n\t}\n"
		judges = "\tapi_key_auth {\n\t\tapi rest {\n\t\t\tpath /rest/*\n\t\t}\n\t}\n"
		manages = "http://" + g.back + " {\n\tapi_key_admin\n}\n"
	}
	return "{\n\tadmin " + g.manage + "\n\tpersist_config off\n" + keeps + "}\n" +
		"http://" + g.front + " {\n" + log + judges +
		"\treverse_proxy " + upstream + " {\n\t\ttransport http {\n\t\t\tkeepalive_idle_conns_per_host 512\n\t\t}\n\t}\n}\n" + manages
}

// start starts a gateway; wrapper are words to put before the command.
func start(ctx context.Context, dir, upstream string, auth bool, o options, wrapper ...string) (_ *gateway, err error) {
	g := &gateway{name: "bare Caddy", exited: make(chan struct{}), secrets: []string{"no-key-is-asked-for"}}
	if auth {
		g.name = "Keywarden"
	}
	dir = filepath.Join(dir, strings.ReplaceAll(g.name, " ", "-"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, address := range []*string{&g.front, &g.back, &g.manage} {
		if *address, err = freeAddress(ctx); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(g.caddyfile(dir, upstream, auth, o.logs)), 0o600); err != nil {
		return nil, err
	}
	command := append(wrapper, o.bin, "run", "--config", config, "--adapter", "caddyfile")
	g.cmd = exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // what is measured
	g.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	g.cmd.Stdout, g.cmd.Stderr = g, g
	g.cmd.Cancel = func() error { return g.cmd.Process.Signal(syscall.SIGTERM) }
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", g.name, err)
	}
	go func() {
		_ = g.cmd.Wait() // its output says why
		close(g.exited)
	}()
	if err := g.prepare(ctx, auth, o.keys); err != nil {
		return nil, errors.Join(err, g.stop())
	}
	return g, nil
}

// prepare waits until the gateway answers, and gives it keys.
func (g *gateway) prepare(ctx context.Context, auth bool, keys int) error {
	if err := g.await(ctx, "http://"+g.front+"/rest/items/7"); err != nil || !auth {
		return err
	}
	if err := g.await(ctx, "http://"+g.back+"/readyz"); err != nil {
		return err
	}
	return g.importKeys(ctx, keys)
}

// Write keeps what the program prints.
func (g *gateway) Write(text []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.output.Write(text)
}

func (g *gateway) said() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.output.String()
}

// quit has the program end by itself: valgrind can't bear signals sent to Go.
func (g *gateway) quit(ctx context.Context) error {
	if _, _, err := ask(ctx, http.MethodPost, "http://"+g.manage+"/stop", nil); err != nil {
		return errors.Join(fmt.Errorf("stopping %s: %w", g.name, err), g.stop())
	}
	select {
	case <-g.exited:
		return nil
	case <-time.After(patience):
		return g.stop()
	}
}

// stop ends the program.
func (g *gateway) stop() error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := g.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		select {
		case <-g.exited:
			return nil
		case <-time.After(patience):
		}
	}
	return fmt.Errorf("%s does not end", g.name)
}

// await waits until something answers at url.
func (g *gateway) await(ctx context.Context, url string) error {
	for began := time.Now(); time.Since(began) < patience; {
		status, _, err := ask(ctx, http.MethodGet, url, nil)
		if err == nil && status != http.StatusServiceUnavailable {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-g.exited:
			return fmt.Errorf("%s did not start: %s", g.name, g.said())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s has not answered within %s: %s", g.name, patience, g.said())
}

func (g *gateway) importKeys(ctx context.Context, n int) error {
	type key struct {
		Secret      string            `json:"secret"`
		Name        string            `json:"name"`
		Owner       string            `json:"owner"`
		Permissions map[string]string `json:"permissions"`
	}
	var batch struct {
		Keys []key `json:"keys"`
	}
	g.secrets = nil
	for range n {
		secret, err := keys.NewSecret(keys.DefaultPrefix, rand.Reader)
		if err != nil {
			return err
		}
		text := secret.Reveal() // the callers send it
		g.secrets = append(g.secrets, text)
		batch.Keys = append(batch.Keys, key{text, "overhead", "team-7", map[string]string{"mode": "all"}})
	}
	text, err := json.Marshal(batch)
	if err != nil {
		return err
	}
	status, said, err := ask(ctx, http.MethodPost, "http://"+g.back+"/v1/keys/import", text)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("answered %d: %s", status, said)
	}
	if err != nil {
		return fmt.Errorf("importing keys: %w", err)
	}
	return nil
}

// ask sends one request, with the admin key, and returns what is answered.
func ask(ctx context.Context, method, url string, body []byte) (status int, said []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+adminKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	said, err = io.ReadAll(io.LimitReader(response.Body, 64<<20))
	return response.StatusCode, said, err
}

// cpu is the CPU time that the process has used so far, in user mode and in
// the kernel, to the nanosecond: Linux has a clock for each process, whose
// number follows from the process' (clock_getcpuclockid(3)).
func (g *gateway) cpu() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^g.cmd.Process.Pid<<3|2), &t); err != nil { //nolint:gosec // G115: as the kernel has it
		return 0, fmt.Errorf("reading the CPU time of %s: %w", g.name, err)
	}
	return time.Duration(t.Nano()), nil
}

// allocated is how many objects and bytes the process has allocated so far.
func (g *gateway) allocated(ctx context.Context) (objects, bytesInAll float64, err error) {
	_, text, err := ask(ctx, http.MethodGet, "http://"+g.manage+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "go_memstats_mallocs_total":
			objects, err = strconv.ParseFloat(value, 64)
		case "go_memstats_alloc_bytes_total":
			bytesInAll, err = strconv.ParseFloat(value, 64)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	if objects == 0 || bytesInAll == 0 {
		return 0, 0, fmt.Errorf("%s does not tell what it has allocated", g.name)
	}
	return objects, bytesInAll, nil
}

func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
