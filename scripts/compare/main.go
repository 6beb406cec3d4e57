// Command compare measures what checking an API key costs, here and with what
// people would use instead, on one machine, in one run, in front of one
// upstream. Rounds are interleaved (A B C, A B C, …), so that what else the
// machine does meets all alike; medians and their spread are printed, and
// written to docs/ as a table and a plot.
//
// It needs wrk, which makes the load. Gateways that are not installed are
// named and left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// options are the command's flags.
type options struct {
	rounds int
	length time.Duration
	keys   int
	bin    string         // folder of our binaries
	docs   string         // folder that the results go to; "" for none
	only   *regexp.Regexp // names that match
	// scale adds the large cases; one of them needs postgres, the address of
	// an empty database.
	scale    bool
	postgres string
}

func main() {
	o := options{}
	serve := flag.String("serve", "", "used by the command itself: be the `role` upstream or auth")
	listen := flag.String("listen", "", "used by the command itself: `address` to listen on")
	keysFile := flag.String("keys", "", "used by the command itself: `file` of keys")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each gateway is measured")
	flag.DurationVar(&o.length, "length", 4*time.Second, "how long each time")
	flag.IntVar(&o.keys, "n", 10_000, "how many keys there are")
	flag.StringVar(&o.bin, "bin", "bin", "`folder` with keywarden and caddy")
	flag.StringVar(&o.docs, "docs", "", "`folder` to write the table and the plot to")
	flag.Func("only", "only gateways whose name matches `pattern`", func(text string) (err error) {
		o.only, err = regexp.Compile(text)
		return err
	})
	flag.BoolVar(&o.scale, "scale", false, "measure large cases as well, which take minutes to fill")
	flag.StringVar(&o.postgres, "postgres", "", "`address` of an empty Postgres database, for one of the large cases")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *serve != "" {
		err = beServer(ctx, *serve, *listen, *keysFile)
	} else {
		err = compare(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// compare does all of it.
func compare(ctx context.Context, o options) (err error) {
	if err := needsLoad(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "compare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	w, err := newWorld(ctx, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()

	series, missing, err := w.measureAll(ctx)
	if err != nil {
		return err
	}
	t := newTable(o, series, missing)
	fmt.Print(t.markdown())
	if o.docs == "" {
		return nil
	}
	return t.write(o.docs)
}
