package consoletest

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// chromium is the one browser of this process; each test gets a window of its
// own, with cookies and storage of its own.
var chromium context.Context

func TestMain(m *testing.M) {
	path, err := findChromium()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	profile, err := os.MkdirTemp("", "keywarden-chromium-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(profile), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", "en-US"),
	)
	ctx, end := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "starting chromium:", err)
		os.Exit(1)
	}
	chromium = ctx
	code := m.Run()
	end()
	stop()
	_ = os.RemoveAll(profile) // what it leaves behind is the system's to clear away
	os.Exit(code)
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
	return "", fmt.Errorf("found no chromium; run make deps, or name one in CHROMIUM")
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

func start(t *testing.T) *e2e.Gateway {
	t.Helper()
	return e2e.Start(t, e2e.Options{Config: caddyfile})
}

// tab is a window that somebody looks at the console with.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex
	strange  []string // what no page of ours may cause
	requests []string
	may      []string // of strange, what this test causes on purpose
}

// patience bounds how long a page may take to become what a test expects, on
// a machine that does much else.
const patience = 8 * time.Second

func open(t *testing.T, address string) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	b := &tab{t: t, ctx: ctx, url: address, may: []string{"Autofocus processing was blocked"}} // htmx does it then
	t.Cleanup(func() {
		if t.Failed() {
			b.shot("failed-" + strings.ReplaceAll(t.Name(), "/", "-"))
		}
		cancel()
		closeTab()
		b.judge()
	})
	b.do() // the window opens
	b.must(chromedp.Listen(ctx, b.hear))
	_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	b.must(err)
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	b.must(err)
	_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	b.must(err)
	b.size(1280, 800)
	b.visit("/")
	return b
}

func (b *tab) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// hear notes what happens in the window.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *log.EventEntryAdded:
		// An answer of 4xx is one of ours; what it says is tested.
		if e.Entry.Source != log.EntrySourceNetwork {
			b.strange = append(b.strange, e.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		b.strange = append(b.strange, fmt.Sprint(e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		if e.Type != runtime.ConsoleAPICalledTypeLog {
			var words []string
			for _, arg := range e.Args {
				words = append(words, string(arg.Value), arg.Description)
			}
			b.strange = append(b.strange, "console: "+strings.Join(words, " "))
		}
	}
}

// judge fails a test whose pages asked anybody but the gateway for anything,
// or broke their own policy.
func (b *tab) judge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if !strings.HasPrefix(url, b.url+"/") && !strings.HasPrefix(url, "data:") { // the browser's own icons
			b.t.Errorf("a page asked for %s", url)
		}
	}
next:
	for _, text := range b.strange {
		for _, may := range b.may {
			if strings.Contains(text, may) {
				continue next
			}
		}
		b.t.Errorf("the browser complains: %s", text)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// dark switches the window to dark or light.
func (b *tab) dark(on bool) {
	b.t.Helper()
	value := "light"
	if on {
		value = "dark"
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	b.must(err)
}

func (b *tab) evaluate(script string) any {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](script, chromedp.EvalAwaitPromise, chromedp.EvalAsValue))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return value
}

// until waits for a JavaScript expression to hold.
func (b *tab) until(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && holds { // a page that is being left can't be asked
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never held: %s (%v)\n%s", expression, err, b.evaluate("document.body.innerText"))
		}
		<-time.After(20 * time.Millisecond)
	}
}

// sees waits until the page, or the dialog in front of it, has the text.
func (b *tab) sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

func (b *tab) has(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelector(%q)", selector))
}

func (b *tab) lacks(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf("!document.querySelector(%q)", selector))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.has(selector)
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("clicking %s: %v", selector, err)
	}
}

// enter replaces what a field holds by typing.
func (b *tab) enter(selector, text string) {
	b.t.Helper()
	b.has(selector)
	b.evaluate(fmt.Sprintf("{const f=document.querySelector(%q); f.focus(); f.select(); 1}", selector))
	if text == "" {
		b.do(chromedp.KeyEvent("\b"))
		return
	}
	b.do(chromedp.KeyEvent(text))
}

// choose takes an option of a menu.
func (b *tab) choose(selector, value string) {
	b.t.Helper()
	b.has(selector)
	b.evaluate(fmt.Sprintf("{const f=document.querySelector(%q); f.value=%q; f.dispatchEvent(new Event('change',{bubbles:true})); 1}", selector, value))
}

func (b *tab) text(selector string) string {
	b.t.Helper()
	text, _ := b.evaluate(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)).(string)
	return text
}

// focused says what has the focus, as tag, id and text.
func (b *tab) focused() string {
	b.t.Helper()
	text, _ := b.evaluate("(e => e.tagName + '#' + e.id + ' ' + e.innerText.slice(0, 40))(document.activeElement)").(string)
	return text
}

func (b *tab) press(keys string) { b.t.Helper(); b.do(chromedp.KeyEvent(keys)) }

// signIn opens the console with the gateway's admin key.
func (b *tab) signIn(secret string) {
	b.t.Helper()
	b.enter("#key", secret)
	b.click(".door button.primary")
	b.has("#keys")
}

func folder(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(e2e.Root(t), "internal", "consoletest", "screenshots")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shot leaves a picture of the window.
func (b *tab) shot(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Errorf("taking a picture: %v", err)
		return
	}
	b.must(os.WriteFile(filepath.Join(folder(b.t), name+".png"), picture, 0o644))
}

// state is a state of the console worth looking at: it leaves pictures in
// light and dark, wide and narrow, and must be usable by everybody in each.
func (b *tab) state(name string) {
	b.t.Helper()
	for _, look := range []struct {
		name          string
		width, height int64
		dark          bool
	}{{"light", 1280, 800, false}, {"dark", 1600, 900, true}, {"narrow", 360, 740, false}} {
		b.size(look.width, look.height)
		b.dark(look.dark)
		b.shot(name + "-" + look.name)
		b.accessible(name + " " + look.name)
		if wide, _ := b.evaluate("document.documentElement.scrollWidth - innerWidth").(float64); wide > 0 {
			b.t.Errorf("%s, %s: the page is %v pixels wider than the window", name, look.name, wide)
		}
	}
	b.size(1280, 800)
	b.dark(false)
}

//go:embed testdata/axe-4.14.1.min.js.gz
var testdata embed.FS

var axe = sync.OnceValues(func() (string, error) {
	packed, err := testdata.ReadFile("testdata/axe-4.14.1.min.js.gz")
	if err != nil {
		return "", err
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	source, err := io.ReadAll(r)
	return string(source), err
})

// accessible fails where axe-core finds something serious.
func (b *tab) accessible(state string) {
	b.t.Helper()
	source, err := axe()
	b.must(err)
	if b.evaluate("typeof axe") == "undefined" {
		b.evaluate(source + "; 1")
	}
	found, _ := b.evaluate(`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.target + " " + (n.any[0]?.message ?? "")).join("; ")).join("\n"))`).(string)
	if found != "" {
		b.t.Errorf("%s: axe-core finds\n%s", state, found)
	}
}
