package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caddy-keywarden/keywarden/scripts/internal/program"
)

// gateway is a running program in one of the two configurations.
type gateway struct {
	*program.Program
	front, back, manage string // addresses
	secrets             []string
}

// caddyfile is the configuration, which differs in nothing but api_key_auth
// and what that needs.
func (g *gateway) caddyfile(dir, upstream string, auth, logs bool) string {
	keeps, judges, manages, log := "", "", "", ""
	if logs {
		log = "\tlog {\n\t\toutput file " + filepath.Join(dir, "access.log") + "\n\t}\n"
	}
	if auth {
		keeps = "\tapi_keys {\n\t\tstore sqlite " + filepath.Join(dir, "keys.db") + "\n\t\tadmin_key " + program.AdminKey + "\n\t}\n"
		judges = "\tapi_key_auth {\n\t\tapi rest {\n\t\t\tpath /rest/*\n\t\t}\n\t}\n"
		manages = "http://" + g.back + " {\n\tapi_key_admin\n}\n"
	}
	return "{\n\tadmin " + g.manage + "\n\tpersist_config off\n" + keeps + "}\n" +
		"http://" + g.front + " {\n" + log + judges +
		"\treverse_proxy " + upstream + " {\n\t\ttransport http {\n\t\t\tkeepalive_idle_conns_per_host 512\n\t\t}\n\t}\n}\n" + manages
}

// start starts a gateway; wrapper are words to put before the command.
func start(ctx context.Context, dir, upstream string, auth bool, o options, wrapper ...string) (*gateway, error) {
	name := "bare Caddy"
	if auth {
		name = "Keywarden"
	}
	dir = filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	g := &gateway{}
	if err := program.FreeAddresses(ctx, &g.front, &g.back, &g.manage); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(g.caddyfile(dir, upstream, auth, o.logs)), 0o600); err != nil {
		return nil, err
	}
	var err error
	if g.Program, err = program.Start(ctx, name, dir, append(wrapper, o.bin, "run", "--config", config, "--adapter", "caddyfile")...); err != nil {
		return nil, err
	}
	if err := g.prepare(ctx, auth, o.keys); err != nil {
		return nil, errors.Join(err, g.Stop())
	}
	return g, nil
}

// prepare waits until the gateway answers, and gives it keys. Bare Caddy gets
// as many secrets in its requests: they cost the callers, and both gateways,
// memory of the processor.
func (g *gateway) prepare(ctx context.Context, auth bool, n int) error {
	if err := g.Await(ctx, "http://"+g.front+"/rest/items/7"); err != nil {
		return err
	}
	var all []program.Key
	for range n {
		secret, err := program.NewSecret()
		if err != nil {
			return err
		}
		g.secrets = append(g.secrets, secret)
		all = append(all, program.Key{Secret: secret, Owner: "team-7", Permissions: program.All})
	}
	if !auth {
		return nil
	}
	if err := g.Await(ctx, "http://"+g.back+"/readyz"); err != nil {
		return err
	}
	return program.Import(ctx, g.back, all)
}

// quit has the program end by itself: valgrind can't bear signals sent to Go.
func (g *gateway) quit(ctx context.Context) error {
	if _, _, err := program.Ask(ctx, http.MethodPost, "http://"+g.manage+"/stop", nil); err != nil {
		return errors.Join(fmt.Errorf("stopping %s: %w", g.Name, err), g.Stop())
	}
	if err := g.AwaitEnd(); err != nil {
		return g.Stop()
	}
	return nil
}

// allocated is how many objects and bytes the process has allocated so far.
func (g *gateway) allocated(ctx context.Context) (objects, bytesInAll float64, err error) {
	_, text, err := program.Ask(ctx, http.MethodGet, "http://"+g.manage+"/metrics", nil)
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
		return 0, 0, fmt.Errorf("%s does not tell what it has allocated", g.Name)
	}
	return objects, bytesInAll, nil
}
