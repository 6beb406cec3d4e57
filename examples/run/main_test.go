package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
	"github.com/caddy-keywarden/keywarden/internal/freeport"
)

// freeSettings are those of make run, at ports that are free, in a new folder.
func freeSettings(t *testing.T) settings {
	t.Helper()
	root, dir := e2e.Root(t), t.TempDir()
	binary := e2e.Binary(t)
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "xdg-data"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg-config"))
	var port [4]string
	for i, n := range freeport.Take(t, len(port)) {
		port[i] = strconv.Itoa(n)
	}
	s := settings{
		keywarden: binary, upstream: filepath.Join(filepath.Dir(binary), "upstream"),
		config: filepath.Join(dir, "Caddyfile"), data: "data",
		gateway: "localhost:" + port[0], admin: "localhost:" + port[1], api: "127.0.0.1:" + port[2], caddy: "localhost:" + port[3],
	}
	t.Setenv("CADDY_ADMIN", s.caddy)
	text, err := os.ReadFile(filepath.Join(root, "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("localhost:8080", s.gateway, "localhost:2020", s.admin, "127.0.0.1:9000", s.api).Replace(string(text))
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// startRun runs in the background and returns what it printed once it stands.
func startRun(t *testing.T, s settings) (lines []string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, s, in)
		ended <- err
		in.CloseWithError(fmt.Errorf("run ended: %w", err))
	}()
	buf := make([]byte, 1024)
	var text bytes.Buffer
	for strings.Count(text.String(), "\n") < 4 {
		n, err := out.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			cancel()
			t.Fatalf("printed %q, then: %v", text.String(), err)
		}
	}
	stop = func() error {
		cancel()
		return <-ended
	}
	return strings.Split(strings.TrimSpace(text.String()), "\n"), stop
}

var curl = regexp.MustCompile(`curl -H "Authorization: Bearer \$\(cat (\S+)\)" (http://\S+)$`)

func TestThePrintedCurlIsAnsweredAndEverythingStops(t *testing.T) {
	s := freeSettings(t)
	first := ""
	for range 2 { // the second run finds what the first one left
		lines, stop := startRun(t, s)
		if len(lines) != 4 || !strings.Contains(lines[0], s.gateway) || !strings.Contains(lines[1], s.admin) || !strings.Contains(lines[2], "data/admin.key") {
			t.Errorf("printed %q", lines)
		}
		match := curl.FindStringSubmatch(lines[3])
		if match == nil {
			t.Fatalf("the fourth line is %q", lines[3])
		}
		secret, err := os.ReadFile(match[1])
		if err != nil {
			t.Fatal(err)
		}
		if status, err := get(t.Context(), match[2], strings.TrimSpace(string(secret))); err != nil || status != http.StatusOK {
			t.Errorf("the printed curl is answered %d, %v", status, err)
		}
		if first != "" && first != string(secret) {
			t.Error("the second run made another key although the first one works")
		}
		first = string(secret)
		if err := stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
		for _, address := range []string{s.gateway, s.admin, s.api} {
			if err := checkFree(t.Context(), "port", address); err != nil {
				t.Errorf("something still runs: %v", err)
			}
		}
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	s := freeSettings(t)
	l, err := net.Listen("tcp", s.admin)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = run(t.Context(), s, io.Discard)
	if err == nil || !strings.Contains(err.Error(), s.admin) || !strings.Contains(err.Error(), "admin API") {
		t.Errorf("run said %v", err)
	}
}

func TestFaultyConfigurationEndsTheRunAndNamesTheLog(t *testing.T) {
	s := freeSettings(t)
	if err := os.WriteFile(s.config, []byte("nonsense {"), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := run(t.Context(), s, io.Discard)
	if err == nil || !strings.Contains(err.Error(), filepath.Join("data", "run.log")) {
		t.Errorf("run said %v", err)
	}
	if time.Since(began) > readyTimeout/2 {
		t.Error("it took as long as if nobody had noticed")
	}
}
