package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	readyTimeout = time.Minute
	pollEvery    = 50 * time.Millisecond
)

// greet waits until everything answers and prints the four lines.
func greet(ctx context.Context, s settings, out io.Writer, logName string) error {
	// The gateway last: its /healthz is the API's. Caddy starts its servers one
	// after the other.
	for _, url := range []string{s.admin + "/readyz", s.api + "/healthz", s.gateway + "/healthz"} {
		if err := awaitReady(ctx, "http://"+url); err != nil {
			return err
		}
	}
	adminKey, demoKey := filepath.Join(s.data, "admin.key"), filepath.Join(s.data, "demo.key")
	if err := ensureDemoKey(ctx, s, adminKey, demoKey); err != nil {
		return err
	}
	fmt.Fprintf(out, "Gateway    http://%s\n", s.gateway)
	fmt.Fprintf(out, "Admin API  http://%s\n", s.admin)
	fmt.Fprintf(out, "Admin key  %s\n", adminKey)
	fmt.Fprintf(out, "Try it     curl -H \"Authorization: Bearer $(cat %s)\" http://%s/rest/users\n", demoKey, s.gateway)
	fmt.Fprintf(os.Stderr, "Logs are in %s. Ctrl-C stops.\n", logName)
	return nil
}

// awaitReady returns when url answers 200, or ctx's end.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		status, err := get(ctx, url, "")
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", url, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// ensureDemoKey leaves a key that may do everything in a file, so that the
// curl of the fourth line works as it stands. A key of an earlier run is kept
// while it works.
func ensureDemoKey(ctx context.Context, s settings, adminKey, demoKey string) error {
	if secret, err := os.ReadFile(demoKey); err == nil {
		status, err := get(ctx, "http://"+s.gateway+"/rest/users", strings.TrimSpace(string(secret)))
		if err != nil || status == http.StatusOK {
			return err
		}
	}
	admin, err := os.ReadFile(adminKey)
	if err != nil {
		return fmt.Errorf("reading the admin key: %w; remove %s to begin anew", err, s.data)
	}
	secret, err := createKey(ctx, s.admin, strings.TrimSpace(string(admin)))
	if err != nil {
		return err
	}
	if err := os.WriteFile(demoKey, []byte(secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("saving the key to try with: %w", err)
	}
	return nil
}

func createKey(ctx context.Context, address, adminSecret string) (string, error) {
	const body = `{"name": "demo", "permissions": {"mode": "all"}}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/keys", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+adminSecret)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", fmt.Errorf("creating a key: %w", err)
	}
	defer response.Body.Close()
	var made struct{ Secret, Detail string }
	if err := json.NewDecoder(response.Body).Decode(&made); err != nil {
		return "", fmt.Errorf("creating a key: reading the answer: %w", err)
	}
	if response.StatusCode != http.StatusCreated || made.Secret == "" {
		return "", fmt.Errorf("creating a key: %s: %s", response.Status, made.Detail)
	}
	return made.Secret, nil
}

func get(ctx context.Context, url, secret string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
