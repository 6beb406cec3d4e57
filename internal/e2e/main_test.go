package e2e

import (
	"fmt"
	"os"
	"testing"
)

// caddyfile is the gateway that most tests start: section 2 of the contract,
// with its admin API beside it.
const caddyfile = `{
	api_keys {
		store sqlite ./data/keys.db
	}
}

http://localhost:8080 {
	bind 127.0.0.1
	log
	api_key_auth {
		realm "Acme API"
		public /healthz /docs/*

		api graphql {
			title "GraphQL API"
			path /graphql
			graphql
		}
		api rpc {
			path /rpc
			jsonrpc {
				read orders.list tools/*
			}
		}
		api serverless {
			path /v2/{endpoint}/*
			read  POST /v2/{endpoint}/status/*
			write GET  /v2/{endpoint}/purge
		}
		api rest {
			path /rest/*
			endpoint users  /rest/users /rest/users/*
			endpoint orders /rest/orders /rest/orders/*
			read POST /rest/search
		}
	}
	reverse_proxy 127.0.0.1:9000
}

http://localhost:2020 {
	bind 127.0.0.1
	api_key_admin
}
`

// TestMain builds the binary before the first test, so that no test's time
// contains a compilation.
func TestMain(m *testing.M) {
	if terms := os.Getenv(asFlooder); terms != "" {
		if err := beFlooder(terms, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if _, err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// start starts the gateway that most tests use, in front of a recording API.
func start(t *testing.T) (*Gateway, *Upstream) {
	t.Helper()
	upstream := NewUpstream(t)
	return Start(t, Options{Config: caddyfile, Upstream: upstream.Address}), upstream
}

func TestRacesOfOursAreSeen(t *testing.T) {
	const line = "==================\n"
	ours := "WARNING: DATA RACE\nWrite at 0x1 by goroutine 7:\n  github.com/caddy-keywarden/keywarden/internal/gate.(*Gate).x()\n" + line
	theirs := "WARNING: DATA RACE\nWrite at 0x1 by goroutine 7:\n  github.com/caddyserver/caddy/v2/modules/caddyhttp.(*lengthReader).Read()\n" + line
	mention := "a log line of github.com/caddy-keywarden/keywarden/internal/gate\n"
	for text, want := range map[string]bool{"": false, line + ours: true, line + theirs + mention: false, theirs + line + ours: true, mention: false} {
		if got := hasRace(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
