package consoletest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// many imports the keys from one number up to another.
func many(t *testing.T, g *e2e.Gateway, from, to int) {
	t.Helper()
	for ; from < to; from += 5000 {
		var imported []map[string]any
		for i := from; i < min(from+5000, to); i++ {
			imported = append(imported, map[string]any{
				"name": fmt.Sprintf("import %06d", i), "owner": fmt.Sprintf("team-%d", i%100),
				"permissions": map[string]any{"mode": "read_only"}, "secret": fmt.Sprintf("legacy-secret-%06d", i),
			})
		}
		answer := g.Admin("POST", "/v1/keys/import", map[string]any{"keys": imported})
		if answer.Status != 201 {
			t.Fatalf("importing answered %d", answer.Status)
		}
	}
}

func in(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

func TestListSaysInWordsWhatKeysAre(t *testing.T) {
	g := start(t)
	many(t, g, 0, 1)
	g.Create(map[string]any{"name": "everything", "owner": "team-7"})
	g.Create(map[string]any{"name": "reports", "permissions": map[string]any{"mode": "read_only"}, "expires_at": in(72 * time.Hour)})
	g.Create(map[string]any{"name": "worker", "owner": "team-9", "permissions": e2e.Restricted(map[string]any{
		"graphql": map[string]any{"access": "read"}, "serverless": map[string]any{"access": "restricted", "endpoints": map[string]any{"abc123": "write"}},
	})})
	off := g.Create(map[string]any{"name": "switched off"})
	g.Patch(off.ID, map[string]any{"enabled": false})
	rotated := g.Create(map[string]any{"name": "rotated"})
	if answer := g.Admin("POST", "/v1/keys/"+rotated.ID+"/rotate", map[string]any{"grace_seconds": 86400}); answer.Status != 200 {
		t.Fatal(answer)
	}
	g.Create(map[string]any{"name": "soon over", "expires_at": in(time.Second)})
	b := as(t, g.AdminURL, g.AdminKey)
	for _, text := range []string{
		"Read Only", "Restricted: 2 APIs", "in 3 days", "legacy", "disabled", "nobody", rotated.Prefix + " ends in 1 day", "just now",
	} {
		b.sees(text)
	}
	b.until(`[...document.querySelectorAll("time")].some(t => /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/.test(t.title))`)
	time := func() bool { return strings.Contains(b.text("tbody"), "expired") }
	e2e.Eventually(t, patience, "expired", func() bool { b.visit("/"); return time() })
	b.state("keys")
}

func TestSearchAndFiltersStandInTheAddress(t *testing.T) {
	g := start(t)
	g.Create(map[string]any{"name": "alpha", "owner": "team-7"})
	g.Create(map[string]any{"name": "beta", "owner": "team-8", "permissions": e2e.Restricted(map[string]any{"rest": map[string]any{"access": "read"}})})
	b := as(t, g.AdminURL, g.AdminKey)
	b.enter("[name=q]", "ALPH")
	b.rows(1)
	b.until("location.search === '?q=ALPH'")
	b.until("document.querySelector('#says').textContent === '1 API key, newest first'") // for who can't see it
	b.sees("alpha")
	b.focusOn("INPUT#")
	b.reload()
	b.until("document.querySelectorAll('tbody tr').length === 1 && document.querySelector('[name=q]').value === 'ALPH'")
	b.enter("[name=q]", "nothing like it")
	b.sees("No key matches")
	b.until("document.querySelector('#says').textContent === 'No key matches'")
	b.state("keys-none")
	b.click(".empty .button")
	b.sees("alpha")
	b.click("td.owner a[href*=team-8]")
	b.until("document.querySelectorAll('tbody tr').length === 1 && location.search === '?owner=team-8'")
	b.visit("/?status=disabled")
	b.sees("No key matches")
	b.visit("/")
	b.choose("[name=api]", "rest")
	b.until("location.search === '?api=rest' && !document.body.innerText.includes('bootstrap\\tadmin')")
	b.sees("beta")
	b.visit("/?api=nosuch")
	b.sees("no API of this name is declared")
	b.state("error")
}

// Each of these keys has all pieces of the text, and none has the text: a page
// of the API ends before the one that has, which is older.
func TestSearchGoesOnWhereAPageEndsEarly(t *testing.T) {
	g := start(t)
	g.Create(map[string]any{"name": "needle: a ab b"})
	var imported []map[string]any
	for i := range 7000 {
		imported = append(imported, map[string]any{
			"name": "ab ba ab", "permissions": map[string]any{"mode": "all"}, "secret": fmt.Sprintf("legacy-secret-%06d", i),
		})
	}
	if answer := g.Admin("POST", "/v1/keys/import", map[string]any{"keys": imported}); answer.Status != 201 {
		t.Fatalf("importing answered %d", answer.Status)
	}
	answer := g.Admin("GET", "/v1/keys?q=a+ab+b", nil)
	if found, ok := answer.Field("data").([]any); !ok || len(found) != 0 || answer.Text("next_cursor") == "" {
		t.Fatalf("the first page of the API is %s, want an empty one that says where to go on", answer)
	}
	b := as(t, g.AdminURL, g.AdminKey)
	b.visit("/?q=a+ab+b")
	b.rows(1)
	b.sees("needle: a ab b")
}

func TestListIsSorted(t *testing.T) {
	g := start(t)
	g.Create(map[string]any{"name": "Bravo", "owner": "team-1", "expires_at": in(48 * time.Hour)})
	g.Create(map[string]any{"name": "alpha", "owner": "team-3"})
	g.Create(map[string]any{"name": "charlie", "owner": "team-2", "expires_at": in(24 * time.Hour)})
	b := as(t, g.AdminURL, g.AdminKey)
	names := func(want ...string) {
		t.Helper()
		b.until(fmt.Sprintf(`%s && [...document.querySelectorAll("tbody th bdi")].map(e => e.textContent).filter(n => n !== "bootstrap").join() === %q`, still, strings.Join(want, ",")))
	}
	names("charlie", "alpha", "Bravo")
	b.click("#sort-Name")
	names("alpha", "Bravo", "charlie")
	b.until(`location.search === "?sort=name" && document.querySelector("[aria-sort=ascending]").innerText.trim() === "Name"`)
	b.focusOn("BUTTON#sort-Name")
	b.press("\r")
	names("charlie", "Bravo", "alpha")
	b.until(`location.search === "?sort=-name" && document.querySelector("[aria-sort=descending]").innerText.trim() === "Name"`)
	b.state("keys-sorted")
	b.choose("#sort", "expires_at")
	names("charlie", "Bravo", "alpha")
	b.choose("#sort", "owner")
	names("Bravo", "charlie", "alpha")
	b.choose("[name=status]", "active") // keeps the order
	names("Bravo", "charlie", "alpha")
	b.reload()
	names("Bravo", "charlie", "alpha")
	b.click("#sort-Created")
	names("charlie", "alpha", "Bravo")
	b.visit("/?sort=nosuch")
	b.sees("expected")
}

// transferred returns how many bytes of bodies the window has loaded since the
// page was opened, compressed as they came.
func (b *tab) transferred() int {
	b.t.Helper()
	size, _ := b.evaluate(`[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce((n, e) => n + e.encodedBodySize, 0)`).(float64)
	return int(size)
}

// quickly does something and logs what it took; what it asked for and loaded
// is judged, since time is the machine's.
func (b *tab) quickly(what string, maxRequests, maxBytes int, do func()) {
	b.t.Helper()
	requests, bytes, began := b.asked(), b.transferred(), time.Now()
	do()
	took := time.Since(began)
	requests, bytes = b.asked()-requests, b.transferred()-bytes
	if requests > maxRequests || bytes > maxBytes {
		b.t.Errorf("%s took %d requests and %d bytes, want at most %d and %d: %q", what, requests, bytes, maxRequests, maxBytes, b.askedFor()[b.asked()-requests:])
	}
	b.t.Logf("%s: %v, %d requests, %d bytes", what, took.Round(time.Millisecond), requests, bytes)
}

func TestAHundredThousandKeysFeelLikeAHundred(t *testing.T) {
	g := start(t)
	b := as(t, g.AdminURL, g.AdminKey)
	many(t, g, 0, 100)
	b.looksAround("100 keys", "import 000054")
	many(t, g, 100, 100_000)
	b.looksAround("100 000 keys", "import 054321")

	b.visit("/?owner=team-42&sort=-name")
	for n := 100; n <= 200; n += 50 {
		b.quickly("100 000 keys, another page", 1, pageBytes, func() {
			b.click(".more button")
			b.rows(n)
		})
	}
	b.until("new Set([...document.querySelectorAll('tbody tr[id]')].map(r => r.id)).size === 200")
}

const pageBytes = 20_000 // of fifty keys, compressed

// looksAround does in the list what people do, and logs what it took.
func (b *tab) looksAround(among, one string) {
	b.t.Helper()
	b.visit("/")
	b.rows(50)
	b.quickly(among+", searching", 1, pageBytes, func() {
		b.enter("[name=q]", one)
		b.rows(1)
	})
	b.quickly(among+", showing all again", 1, pageBytes, func() {
		b.enter("[name=q]", "")
		b.rows(50)
	})
	b.quickly(among+", a text that is in all of them", 1, pageBytes, func() {
		b.enter("[name=q]", "import")
		b.until("location.search === '?q=import'")
		b.rows(50)
	})
	b.quickly(among+", a state", 1, pageBytes, func() {
		b.choose("[name=status]", "active")
		b.until("location.search.includes('status=active')")
		b.rows(50)
	})
	b.visit("/?q=&status=active") // by name, whatever else is asked
	b.quickly(among+", an order", 1, pageBytes, func() {
		b.click("#sort-Name")
		b.until("location.search.includes('sort=name')")
		b.rows(50)
	})
}

func TestFirstPageIsSmallAndQuick(t *testing.T) {
	g := start(t)
	many(t, g, 0, 60)
	b := as(t, g.AdminURL, g.AdminKey)
	_, err := chromedp.Call(b.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	b.must(err) // as for who comes for the first time
	var usable []float64
	for range 3 {
		before := b.asked()
		b.reload()
		// The page, its style and two scripts: nothing is loaded in turn.
		if requests := b.asked() - before; requests > 4 {
			t.Errorf("the first page takes %d requests", requests)
		}
		if size := b.transferred(); size < 10_000 || size > 50_000 {
			t.Errorf("the first page takes %d bytes", size)
		}
		ms, _ := b.evaluate(`performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd`).(float64)
		usable = append(usable, math.Round(ms))
	}
	t.Logf("%d bytes; usable after %v ms at best, of %v", b.transferred(), slices.Min(usable), usable)
}

func TestMoreOfAListKeepsThePlaceAndTheFocus(t *testing.T) {
	g := start(t)
	many(t, g, 0, 120)
	b := as(t, g.AdminURL, g.AdminKey)
	for n := 50; n <= 100; n += 50 {
		b.on(".more button", "e.scrollIntoView({block: 'center'}); e.focus()")
		at := b.evaluate("scrollY")
		b.press("\r")
		b.rows(min(n+50, 121))
		b.until(fmt.Sprintf("document.activeElement === document.querySelectorAll('tbody tr')[%d].querySelector('a')", n))
		if now := b.evaluate("scrollY"); now != at || at == float64(0) {
			t.Errorf("the page was at %v and is at %v", at, now)
		}
	}
}

func TestListThatIsAwaitedSaysSo(t *testing.T) {
	g := start(t)
	g.Create(map[string]any{"name": "alpha"})
	b := as(t, g.AdminURL, g.AdminKey)
	release := b.hold("*q=alph*")
	b.enter("[name=q]", "alph")
	b.until(`getComputedStyle(document.querySelector("#keys"), "::before").visibility === "visible" && getComputedStyle(document.querySelector("#keys table")).opacity < 0.5`)
	for _, look := range looks {
		b.size(look.width, look.height)
		b.media(look.colours, "reduce")
		b.shot("keys-loading-" + look.name)
	}
	release()
	b.rows(1)
	b.until(`getComputedStyle(document.querySelector("#keys"), "::before").visibility === "hidden"`)
}
