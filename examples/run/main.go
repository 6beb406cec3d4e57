// Command run is `make run`: it starts the example API and keywarden in front
// of it, makes a key to try them with, and says in four lines how. It ends
// both when it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// settings are where everything is. They repeat what the configuration says.
type settings struct {
	keywarden, upstream   string // the binaries
	config, data          string // the Caddyfile, and the folder of its store
	gateway, admin, caddy string // addresses that must be free, and are then served
	api                   string
}

func main() {
	var s settings
	flag.StringVar(&s.keywarden, "keywarden", "bin/keywarden", "the gateway's binary")
	flag.StringVar(&s.upstream, "upstream", "bin/upstream", "the example API's binary")
	flag.StringVar(&s.config, "config", "Caddyfile.example", "the gateway's configuration")
	flag.StringVar(&s.data, "data", "data", "the folder of the store in that configuration")
	flag.StringVar(&s.gateway, "gateway", "localhost:8080", "address of the gateway in that configuration")
	flag.StringVar(&s.admin, "admin", "localhost:2020", "address of the admin API in that configuration")
	flag.StringVar(&s.api, "api", "127.0.0.1:9000", "address of the example API in that configuration")
	flag.StringVar(&s.caddy, "caddy", "localhost:2019", "address at which Caddy takes configurations")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, out io.Writer) error {
	for _, port := range []struct{ what, address string }{
		{"gateway", s.gateway}, {"admin API", s.admin}, {"example API", s.api}, {"configuration API of Caddy", s.caddy},
	} {
		if err := checkFree(ctx, port.what, port.address); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(s.data, "run.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer log.Close()

	group, ctx := errgroup.WithContext(ctx) // the first to end ends all
	group.Go(func() error { return keepRunning(ctx, log, s.upstream, "-listen", s.api) })
	group.Go(func() error { return keepRunning(ctx, log, s.keywarden, "run", "--config", s.config) })
	group.Go(func() error { return greet(ctx, s, out, log.Name()) })
	return group.Wait()
}

// checkFree says what to do where something listens at address already.
func checkFree(ctx context.Context, what, address string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("the %s needs %s, which is not free (%w); stop what listens there", what, address, err)
	}
	return listener.Close()
}

// keepRunning runs a command until ctx ends; that it ends before is an error.
func keepRunning(ctx context.Context, log *os.File, name string, args ...string) error {
	const patience = 10 * time.Second
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the flags name it
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	// A Ctrl-C is for this process, which then ends the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it ended because it was told to
	}
	if err == nil {
		err = errors.New("it stopped by itself")
	}
	return fmt.Errorf("%s: %w; its last words are in %s", name, err, log.Name())
}
