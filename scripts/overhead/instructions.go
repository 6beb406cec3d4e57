package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// countInstructions runs both under valgrind, for a number of requests and for
// three times as many: what is between is what the requests took, in user mode.
func countInstructions(ctx context.Context, dir, upstream string, o options) error {
	if _, err := exec.LookPath("valgrind"); err != nil {
		return errors.New("valgrind, which counts instructions, is not installed")
	}
	o.connections = 1
	var counts [2]float64
	for i, auth := range []bool{false, true} {
		few, err := collected(ctx, dir, upstream, auth, o, o.requests)
		if err != nil {
			return err
		}
		many, err := collected(ctx, dir, upstream, auth, o, 3*o.requests)
		if err != nil {
			return err
		}
		counts[i] = float64(many-few) / float64(2*o.requests)
	}
	fmt.Printf("instructions a request, in user mode: bare Caddy %.0f, Keywarden %.0f: %+.0f, × %.3f\n", counts[0], counts[1], counts[1]-counts[0], counts[1]/counts[0])
	return nil
}

var total = regexp.MustCompile(`(?:Collected :|I +refs:) *([0-9]+)`)

// collected is how many instructions a gateway takes from start to end.
func collected(ctx context.Context, dir, upstream string, auth bool, o options, requests int) (int64, error) {
	tool := []string{"--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"}
	if o.profile != "" { // slower, and it knows who called whom
		tool = []string{"--tool=callgrind", "--callgrind-out-file=" + filepath.Join(o.profile, fmt.Sprintf("callgrind-%t-%d", auth, requests))}
	}
	// One thread at a time, and no preemption by signals: what is left is the
	// program's own work.
	g, err := start(ctx, filepath.Join(dir, strconv.Itoa(requests)), upstream, auth, o,
		append([]string{"env", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1", "GOGC=off", "valgrind"}, tool...)...)
	if err != nil {
		return 0, err
	}
	c, err := call(ctx, g.front, o.connections, g.secrets[:1], o.headers)
	if err == nil {
		_, err = c.send(requests)
		c.close()
	}
	if err = errors.Join(err, g.quit(ctx)); err != nil {
		return 0, fmt.Errorf("%s under valgrind: %w: %s", g.Name, err, g.Said())
	}
	found := total.FindStringSubmatch(strings.ReplaceAll(g.Said(), ",", ""))
	if found == nil {
		return 0, fmt.Errorf("valgrind has not counted %s: %s", g.Name, g.Said())
	}
	return strconv.ParseInt(found[1], 10, 64)
}
