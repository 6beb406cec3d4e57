// Command overhead measures what the gateway adds to a request that bare Caddy
// would have proxied: one binary, once with api_key_auth and once without, both
// running, in front of one upstream. They get the same number of requests in
// turns (A B, B A, …), and what counts is what the processes used for them:
// CPU time and allocations, and with -instructions the instructions that
// valgrind counts. None of it depends much on what else the machine does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are the command's flags.
type options struct {
	bin          string
	starts       int
	rounds       int
	requests     int
	connections  int
	keys         int
	headers      int
	instructions bool
	logs         bool
	profile      string
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin/keywarden", "the `program` that is measured")
	flag.IntVar(&o.starts, "starts", 1, "how often both are started anew: processes of one program differ by some percent, for as long as they run")
	flag.IntVar(&o.rounds, "rounds", 10, "how often each of the two is measured, a start")
	flag.IntVar(&o.requests, "requests", 20_000, "how many requests each time")
	flag.IntVar(&o.connections, "connections", 64, "how many callers there are")
	flag.IntVar(&o.keys, "keys", 100, "how many keys they use")
	flag.IntVar(&o.headers, "headers", 0, "how many header fields they send besides curl's four: SDKs and browsers send some ten")
	flag.BoolVar(&o.instructions, "instructions", false, "count instructions with valgrind instead: slow, and the same every time")
	flag.BoolVar(&o.logs, "log", false, "write access logs")
	flag.StringVar(&o.profile, "profile", "", "`folder` to leave CPU profiles in, or with -instructions callgrind's files")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "overhead:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, o options) (err error) {
	if min(o.starts, o.rounds, o.requests, o.connections, o.keys) < 1 || o.headers < 0 {
		return errors.New("-starts, -rounds, -requests, -connections and -keys are 1 or more, and -headers 0 or more")
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	o.bin = bin
	dir, err := os.MkdirTemp("", "overhead")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	upstream, err := startUpstream(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upstream.close()) }()
	if o.instructions {
		return countInstructions(ctx, dir, upstream.address(), o)
	}
	return measure(ctx, dir, upstream.address(), o)
}
