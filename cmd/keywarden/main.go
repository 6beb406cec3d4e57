// Command keywarden is Caddy with Keywarden's modules and commands.
package main

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-keywarden/keywarden/caddymodule"
	"github.com/caddy-keywarden/keywarden/internal/cli"
	"github.com/caddy-keywarden/keywarden/internal/pace"
	"github.com/caddy-keywarden/keywarden/internal/store"
)

func main() {
	if caddy.CustomBinaryName == "" {
		caddy.CustomBinaryName = "keywarden"
	}
	pace.Keep()
	cli.Register(cli.Options{OpenGateway: openGateway, CopyStore: copyStore, Examine: examine, KeyPrefix: caddymodule.KeyPrefix})
	caddycmd.Main()
}

// openGateway is caddymodule's, with an error that is no Gateway.
func openGateway(ctx context.Context, file, adapter string) (cli.Gateway, error) {
	g, err := caddymodule.OpenGateway(ctx, file, adapter)
	if err != nil {
		return nil, err
	}
	return g, nil
}

func examine(ctx context.Context, file, adapter string) ([]cli.Finding, error) {
	findings, err := caddymodule.Examine(ctx, file, adapter)
	told := make([]cli.Finding, 0, len(findings))
	for _, f := range findings {
		told = append(told, cli.Finding{Severity: string(f.Severity), About: f.About, Text: f.Text, Mend: f.Mend})
	}
	return told, err
}

func copyStore(ctx context.Context, from, to string, report cli.CopyReport) error {
	_, err := store.Copy(ctx, from, to, store.Copying{Note: report.Note, Progress: report.Progress})
	return err
}
