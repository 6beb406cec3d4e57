package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// script sends each request with another key, from a given one on, and prints
// what came of it.
// Requests are made before the time runs.
const script = `
local header, file = os.getenv("COMPARE_HEADER"), os.getenv("COMPARE_VALUES")
local requests, n, i = {}, 0, 0
function init(args)
  for line in io.lines(file) do
    local value, target = line:match("^([^\t]*)\t?(.*)$")
    n = n + 1
    requests[n] = wrk.format("GET", target ~= "" and target or os.getenv("COMPARE_TARGET"), {["Host"] = wrk.host .. ":" .. wrk.port, [header] = value})
  end
  i = tonumber(os.getenv("COMPARE_FIRST")) % n
end
function request()
  i = i % n + 1
  return requests[i]
end
function done(summary, latency, _)
  io.write(string.format('{"requests":%d,"micros":%d,"errors":%d,"p50":%d,"p99":%d}\n', summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
`

// load is what wrk tells of a run.
type load struct {
	Requests int64
	Micros   int64
	Errors   int64
	P50, P99 int64 // µs
}

func needsLoad() error {
	if find("", "wrk") == "" {
		return errors.New("wrk, which makes the load, is not installed: apt-get install wrk, or brew install wrk")
	}
	return nil
}

// run sends requests for so long, over so many connections, from request number
// first on.
func (w *world) run(ctx context.Context, s *subject, length time.Duration, first int64) (load, error) {
	lua := filepath.Join(w.dir, "load.lua")
	if err := os.WriteFile(lua, []byte(script), 0o600); err != nil {
		return load{}, err
	}
	cmd := exec.CommandContext(ctx, find("", "wrk"), //nolint:gosec // a program that the operator has installed
		"-t", "1", "-c", strconv.Itoa(s.connections()), "-d", strconv.FormatFloat(length.Seconds(), 'f', 0, 64)+"s", "--latency", "-s", lua, "http://"+w.front)
	header := "X-API-Key"
	if s.basic {
		header = "Authorization"
	}
	cmd.Env = append(os.Environ(), "COMPARE_HEADER="+header, "COMPARE_FIRST="+strconv.FormatInt(first, 10), "COMPARE_TARGET="+usualTarget, "COMPARE_VALUES="+w.requestsFile(s))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("running wrk: %w: %s", err, out)
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var l load
	if err := json.Unmarshal(lines[len(lines)-1], &l); err != nil {
		return load{}, fmt.Errorf("reading what wrk said: %w: %s", err, out)
	}
	if l.Requests == 0 || l.Errors > 0 {
		return load{}, fmt.Errorf("%s answered %d requests, %d of them not 2xx or not at all", s.name, l.Requests, l.Errors)
	}
	return l, nil
}
