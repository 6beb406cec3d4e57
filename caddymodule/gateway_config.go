package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-keywarden/keywarden/config"
)

// readConfig returns a configuration file as Caddy's JSON, read by the named
// adapter ("": by the file's name, as Caddy does). It is caddycmd.LoadConfig
// without its log lines, which have no place among a command's few words, and
// without its default file: which store is written to must have been said.
func readConfig(file, adapter string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if adapter == "" && isCaddyfile(file) {
		adapter = "caddyfile"
	}
	if adapter == "" {
		if !json.Valid(text) {
			return nil, fmt.Errorf("%s is not JSON; name its config adapter with --adapter", file)
		}
		return text, nil
	}
	reader := caddyconfig.GetAdapter(adapter)
	if reader == nil {
		return nil, fmt.Errorf("no config adapter is named %q; expected one such as caddyfile", adapter)
	}
	adapted, _, err := reader.Adapt(text, map[string]any{"filename": file})
	if err != nil {
		return nil, fmt.Errorf("adapting %s: %w", file, err)
	}
	return adapted, nil
}

func isCaddyfile(file string) bool {
	name := strings.ToLower(filepath.Base(file))
	return filepath.Ext(name) != ".json" && (strings.HasPrefix(name, "caddyfile") || strings.HasSuffix(name, ".caddyfile"))
}

// KeyPrefix returns the prefix of secrets that a configuration says, read with
// the named adapter ("": by the file's name). It opens nothing.
func KeyPrefix(file, adapter string) (string, error) {
	text, err := readConfig(file, adapter)
	if err != nil {
		return "", fmt.Errorf("reading the configuration: %w", err)
	}
	var root struct {
		Apps struct {
			Keys config.App `json:"api_keys"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return "", fmt.Errorf("reading the configuration: %w", err)
	}
	if err := root.Apps.Keys.Validate(); err != nil {
		return "", fmt.Errorf("reading the configuration: %w", err)
	}
	return root.Apps.Keys.Settings("").KeyPrefix, nil
}
