package consoletest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// tab is a window that somebody looks at the console with.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu       sync.Mutex
	strange  []string // what no page of ours may cause
	requests []string
	held     chan fetch.RequestID // requests that hold keeps back
	may      []string             // of strange, what this test causes on purpose
}

func open(t *testing.T, address string) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	b := &tab{t: t, ctx: ctx, url: address, may: []string{"Autofocus processing was blocked"}, held: make(chan fetch.RequestID, 100)} // htmx does it then
	t.Cleanup(func() {
		if t.Failed() && ctx.Err() == nil {
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
	// Of several windows one has the focus; each is to behave as if it had.
	_, err = chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.must(err)
	b.size(1280, 800)
	b.media("light", "reduce") // what moves would have to be waited for
	b.visit("/")
	return b
}

// hold keeps back the page's requests to such addresses until release is
// called, as a slow network does.
func (b *tab) hold(addresses string) (release func()) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: addresses}}})
	b.must(err)
	return func() {
		b.t.Helper()
		var id fetch.RequestID
		select {
		case id = <-b.held:
		case <-b.ctx.Done():
			b.t.Fatal("the page never asked for what is held")
		}
		_, err := chromedp.Call(b.ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: id})
		b.must(err)
		_, err = chromedp.Call(b.ctx, fetch.Disable, cdp.Empty{})
		b.must(err)
	}
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
	case *fetch.EventRequestPaused:
		b.held <- e.RequestID
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

// asked returns how many requests the page has made. The browser asks for its
// icon, which it has, whenever the address changes.
func (b *tab) asked() int { return len(b.askedFor()) }

func (b *tab) askedFor() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.requests), func(url string) bool { return strings.Contains(url, "/assets/icon.svg") })
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// visit goes to a page and returns when all of it is there.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
	b.settled()
}

func (b *tab) reload() { b.t.Helper(); b.do(chromedp.Reload()); b.settled() }

func (b *tab) back() { b.t.Helper(); b.do(chromedp.NavigateBack()); b.settled() }

func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// media sets what the visitor prefers: light or dark, and whether pages may
// move (reduce, no-preference).
func (b *tab) media(colours, motion string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}, {Name: "prefers-reduced-motion", Value: motion}},
	})
	b.must(err)
}

// signIn opens the console with an admin key, where the visitor then comes to
// the list.
func (b *tab) signIn(secret string) { b.t.Helper(); b.signInTo(secret, "#keys") }

// signInTo is signIn where the visitor goes on to another page.
func (b *tab) signInTo(secret, selector string) {
	b.t.Helper()
	b.enter("#key", secret)
	b.click(".door button.primary")
	b.has(selector)
}

// as is a window that is signed in to the gateway's console.
func as(t *testing.T, address, secret string) *tab {
	t.Helper()
	b := open(t, address)
	b.signIn(secret)
	return b
}
