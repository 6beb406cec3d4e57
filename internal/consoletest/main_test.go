package consoletest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// chromium is the one browser of this process; each test gets a window of its
// own, with cookies and storage of its own.
var chromium context.Context

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := withChromium(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// atOnce is how many tests run beside each other: more than processors, since
// they wait for pages most of the time.
const atOnce = "4"

func withChromium(run func() int) (int, error) {
	path, err := findChromium()
	if err != nil {
		return 0, err
	}
	if err := flag.Set("test.parallel", atOnce); err != nil {
		return 0, err
	}
	profile, err := os.MkdirTemp("", "keywarden-chromium-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(profile) // what it leaves behind is the system's to clear away
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(profile), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", "en-US"), chromedp.Flag("disable-dev-shm-usage", true),
		// Every window counts as the one that is looked at.
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
	)
	defer stop()
	ctx, end := chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(ctx); err != nil {
		return 0, fmt.Errorf("starting chromium: %w", err)
	}
	chromium = ctx
	return run(), nil
}

func findChromium() (string, error) {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("found no chromium; run make deps, or name one in CHROMIUM")
}

// The gateway of most tests.
const caddyfile = `{
	api_keys {
		store sqlite ./data/keys.db
	}
}

http://localhost:8080 {
	bind 127.0.0.1
	api_key_auth {
		api graphql {
			title "GraphQL API"
			path /graphql
			graphql
		}
		api serverless {
			title "Serverless"
			path /v2/{endpoint}/*
		}
		api rest {
			path /rest/*
			endpoint users  /rest/users /rest/users/*
			endpoint orders /rest/orders /rest/orders/*
		}
	}
	reverse_proxy 127.0.0.1:9000
}

http://localhost:2020 {
	bind 127.0.0.1
	api_key_admin
}
`

// start begins a gateway of the test's own; the test runs beside others.
func start(t *testing.T) *e2e.Gateway {
	t.Helper()
	t.Parallel()
	return e2e.Start(t, e2e.Options{Config: caddyfile})
}
