package admin

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/caddy-keywarden/keywarden/internal/problem"
)

// The docs page shows the OpenAPI document with Swagger UI 5.35.0
// (docs/update.sh). All of it is served from here: an admin network need not
// reach the Internet, and no other host sees which API is looked at.
//
//go:embed docs/index.html docs/init.js docs/*.gz
var docsFiles embed.FS

// docsPolicy lets the page load what is embedded, and ask this host only.
// Swagger UI styles elements from script, which needs no exception; its
// pictures are data URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset is a file of the docs page, as it is or compressed.
type asset struct {
	media           string
	plain, gzipText []byte
	// inflated returns the file for the few clients that don't take gzip.
	inflated func() ([]byte, error)
}

// routeDocs puts the docs page and the document on their paths. Neither needs
// a key: they say nothing of this deployment.
func (a *api) routeDocs() error {
	for path, file := range map[string]string{
		"/docs": "index.html", "/docs/init.js": "init.js",
		"/docs/swagger-ui.css": "swagger-ui.css", "/docs/swagger-ui-bundle.js": "swagger-ui-bundle.js",
	} {
		served, err := readAsset(file)
		if err != nil {
			return fmt.Errorf("reading the docs page: %w", err)
		}
		a.handle(http.MethodGet, path, served.serve)
	}
	a.handle(http.MethodGet, "/v1/openapi.json", (&asset{media: "application/openapi+json", plain: a.document}).serve)
	return nil
}

func readAsset(file string) (*asset, error) {
	out := &asset{media: mediaOf(file)}
	var err error
	if out.plain, err = docsFiles.ReadFile("docs/" + file); err == nil {
		return out, nil
	}
	if out.gzipText, err = docsFiles.ReadFile("docs/" + file + ".gz"); err != nil {
		return nil, err
	}
	out.inflated = sync.OnceValues(func() ([]byte, error) { return inflate(out.gzipText) })
	return out, nil
}

func mediaOf(file string) string {
	switch {
	case strings.HasSuffix(file, ".css"):
		return "text/css; charset=utf-8"
	case strings.HasSuffix(file, ".js"):
		return "text/javascript; charset=utf-8"
	}
	return "text/html; charset=utf-8"
}

func (f *asset) serve(w http.ResponseWriter, r *http.Request, _ captured) {
	body, encoding, err := f.choose(r)
	if err != nil { // the program itself is damaged
		problem.Write(w, errDamaged.Problem)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", docsPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", f.media)
	h.Set("Vary", "Accept-Encoding")
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		// An error here means that the client has gone: nobody is left to tell.
		_, _ = w.Write(body)
	}
}

// choose returns the file as the client takes it, and its encoding.
func (f *asset) choose(r *http.Request) (body []byte, encoding string, err error) {
	switch {
	case f.gzipText == nil:
		return f.plain, "", nil
	case takesGzip(r.Header.Get("Accept-Encoding")):
		return f.gzipText, "gzip", nil
	}
	body, err = f.inflated()
	return body, "", err
}

// takesGzip reports whether a client says that it takes gzip.
func takesGzip(accepted string) bool {
	for item := range strings.SplitSeq(accepted, ",") {
		coding, quality, _ := strings.Cut(strings.ReplaceAll(item, " ", ""), ";")
		if strings.EqualFold(coding, "gzip") {
			weight, err := strconv.ParseFloat(strings.TrimPrefix(quality, "q="), 64)
			return quality == "" || err == nil && weight > 0
		}
	}
	return false
}

func inflate(compressed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}
