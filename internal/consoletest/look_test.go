package consoletest

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

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
	quick := true
	picture, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{OptimizeForSpeed: &quick})
	if err != nil {
		b.t.Errorf("taking a picture: %v", err)
		return
	}
	b.must(os.WriteFile(filepath.Join(folder(b.t), name+".png"), picture.Data, 0o644))
}

// looks are the ways in which each state is looked at. axe-core sees each: by
// all its rules at both widths, and in the other colours by those that colours
// and sizes matter to, since it takes ten times as long as a picture.
var looks = []struct {
	name, colours string
	width, height int64
	rules         string // of axe-core; "": all
}{
	{"1600-light", "light", 1600, 900, ""},
	{"1600-dark", "dark", 1600, 900, ofColours},
	{"360-dark", "dark", 360, 740, ""},
	{"360-light", "light", 360, 740, ofColours},
}

const ofColours = `, runOnly: ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]`

// state is a state of the console worth looking at: it leaves pictures in
// light and dark, wide and narrow, and must be usable by everybody in each.
func (b *tab) state(name string) {
	b.t.Helper()
	b.settled()
	for _, look := range looks {
		b.size(look.width, look.height)
		b.media(look.colours, "reduce")
		b.shot(name + "-" + look.name)
		b.accessible(name+" "+look.name, look.rules)
		if wide, _ := b.evaluate("document.documentElement.scrollWidth - innerWidth").(float64); wide > 0 {
			b.t.Errorf("%s, %s: the page is %v pixels wider than the window", name, look.name, wide)
		}
	}
	b.size(1280, 800)
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
func (b *tab) accessible(state, rules string) {
	b.t.Helper()
	source, err := axe()
	b.must(err)
	if b.evaluate("typeof axe") == "undefined" {
		b.evaluate(source + "; 1")
	}
	found, _ := b.evaluate(`axe.run(document, {resultTypes: ["violations"]` + rules + `}).then(r => r.violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.target + " " + (n.any[0]?.message ?? "")).join("; ")).join("\n"))`).(string)
	if found != "" {
		b.t.Errorf("%s: axe-core finds\n%s", state, found)
	}
}
