package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// Everything that a browser loads comes from the binary. htmx is copied there
// by `make assets`.
//
//go:embed assets/*.css assets/*.js assets/*.svg
var assetFiles embed.FS

//go:embed templates
var templateFiles embed.FS

// look is how the console looks: templates, and the files that they load.
type look struct {
	pages     map[string]pattern // whole pages
	fragments pattern
	assets    map[string]*asset
}

// pattern is what a page is made by. It is read when somebody first looks at
// such a page: all of them together have 50 000 parts, which the garbage
// collector would go through on every gateway, for a console that is opened now
// and then.
type pattern func() (*template.Template, error)

// asset is a file under /assets/. Its address holds the hash of its content,
// so that browsers may keep it for good.
type asset struct {
	media         string
	hash          string
	text, gzipped []byte
}

func newLook() (*look, error) {
	l := &look{pages: map[string]pattern{}}
	if err := l.readAssets(); err != nil {
		return nil, fmt.Errorf("reading the console's files: %w", err)
	}
	l.fragments = l.pattern("templates/*.html")
	names, err := fs.Glob(templateFiles, "templates/pages/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		l.pages[strings.TrimSuffix(path.Base(name), ".html")] = l.pattern("templates/*.html", name)
	}
	return l, nil
}

func (l *look) pattern(files ...string) pattern {
	return sync.OnceValues(func() (*template.Template, error) {
		t, err := template.New("console").Funcs(template.FuncMap{
			"asset": l.address, "icon": icon, "sprite": sprite, "link": linkTo, "accessName": accessName, "list": listOf,
		}).ParseFS(templateFiles, files...)
		if err != nil {
			return nil, fmt.Errorf("reading the console's templates: %w", err)
		}
		return t, nil
	})
}

func (l *look) readAssets() error {
	l.assets = map[string]*asset{}
	files, err := assetFiles.ReadDir("assets")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := assetFiles.ReadFile("assets/" + file.Name())
		if err != nil {
			return err
		}
		sum := sha256.Sum256(text)
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		l.assets[file.Name()] = &asset{media: media(file.Name()), hash: hex.EncodeToString(sum[:6]), text: text, gzipped: packed.Bytes()}
	}
	return nil
}

func media(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	}
	return "image/svg+xml"
}

// address returns where pages load a file from.
func (l *look) address(name string) (string, error) {
	file := l.assets[name]
	if file == nil {
		return "", fmt.Errorf("no asset %q", name)
	}
	return "assets/" + name + "?v=" + file.hash, nil
}

func (l *look) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	file := l.assets[name]
	if file == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.media)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == file.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := file.text
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = file.gzipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		// An error here means that the client has gone: nobody is left to tell.
		_, _ = w.Write(body)
	}
}

// icons are drawn by hand on a 16-pixel grid.
var icons = map[string]string{
	"edit":       `<path d="M10.8 2.7a1.6 1.6 0 0 1 2.3 2.3L5.5 12.6l-3 .8.8-3z"/>`,
	"trash":      `<path d="M2.5 4.5h11M6 4.5V3a.8.8 0 0 1 .8-.8h2.4A.8.8 0 0 1 10 3v1.500M4 4.500l.6 8.300a1 1 0 0 0 1 .9h4.800a1 1 0 0 0 1-.9l.6-8.300M6.700 7.200v3.800M9.300 7.200v3.800"/>`,
	"rotate":     `<path d="M13.2 6.500A5.500 5.500 0 0 0 3.300 5M2.800 9.500A5.500 5.500 0 0 0 12.700 11M3 2.300V5h2.700M13 13.700V11h-2.700"/>`,
	"copy":       `<path d="M5.500 5.500h7.200v7.800H5.500zM3.300 10.500V2.700h7.200"/>`,
	"ascending":  `<path d="M4.500 9.500 8 6l3.500 3.500"/>`,
	"descending": `<path d="M4.500 6.500 8 10l3.500-3.500"/>`,
	"plus":       `<path d="M8 3v10M3 8h10"/>`,
	"key":        `<path d="M9.600 2.500a3.900 3.900 0 1 1-2.700 6.700L3.500 12.600v1h-1v-2.400l3.700-3.700a3.900 3.900 0 0 1 3.400-5zM10.700 5.300h.01"/>`,
}

// sprite holds every icon once; each use of one is short, as a list has
// hundreds.
func sprite() template.HTML {
	var text strings.Builder
	text.WriteString(`<svg width="0" height="0" class="hidden" aria-hidden="true" focusable="false">`)
	for _, name := range sortedNames(icons) {
		text.WriteString(`<symbol id="i-` + name + `" viewBox="0 0 16 16">` + icons[name] + `</symbol>`)
	}
	text.WriteString(`</svg>`)
	return template.HTML(text.String()) //nolint:gosec // all of it are constants of ours
}

// icon returns a picture that says nothing to screen readers: what it stands
// in has a name.
func icon(name string) (template.HTML, error) {
	if _, ok := icons[name]; !ok {
		return "", fmt.Errorf("no icon %q", name)
	}
	return template.HTML(`<svg class="icon" aria-hidden="true"><use href="#i-` + name + `"/></svg>`), nil //nolint:gosec // a constant of ours
}

// linkTo returns the address of a page with parameters, given as name, value.
func linkTo(page string, pairs ...string) (string, error) {
	if len(pairs)%2 != 0 {
		return "", fmt.Errorf("link to %s: a parameter without a value", page)
	}
	values := map[string][]string{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = []string{pairs[i+1]}
	}
	return link(page, values), nil
}

func listOf(items ...string) []string { return items }
