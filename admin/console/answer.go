package console

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// frame is what every whole page has around its own data.
type frame struct {
	Page     string // which page it is
	SignedIn bool
	Who      string
	Prefix   string
	ReadOnly bool // the admin key may look and not change
	Data     any
}

// page answers with a whole page.
func (v *visit) page(status int, name string, data any) {
	f := frame{Page: name, SignedIn: v.me.ID != "", Who: v.me.Name, Prefix: v.me.Prefix, ReadOnly: !v.mayChange(), Data: data}
	v.write(status, v.look.pages[name], "page", f)
}

// fragment answers with a part of a page.
func (v *visit) fragment(status int, name string, data any) {
	v.write(status, v.look.fragments, name, data)
}

func (v *visit) write(status int, p pattern, name string, data any) {
	var text bytes.Buffer
	t, err := p()
	if err == nil {
		err = t.ExecuteTemplate(&text, name, data)
	}
	if err != nil {
		v.Logger.ErrorContext(v.r.Context(), "the console could not make a page", "path", v.r.URL.Path, "error", err)
		http.Error(v.w, "The gateway could not make this page; its log says more.", http.StatusInternalServerError)
		return
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// A secret is not compressed beside texts that others chose: the length of
	// the answer would tell about it (BREACH).
	if _, secret := data.(shown); !secret {
		h.Set("Vary", "Accept-Encoding")
		if takesGzip(v.r) {
			h.Set("Content-Encoding", "gzip")
			text = *packed(text.Bytes())
		}
	}
	h.Set("Content-Length", strconv.Itoa(text.Len()))
	v.w.WriteHeader(status)
	if v.r.Method != http.MethodHead {
		// An error here means that the client has gone: nobody is left to tell.
		_, _ = v.w.Write(text.Bytes())
	}
}

// packed returns text compressed: a list becomes a tenth, in a millisecond.
func packed(text []byte) *bytes.Buffer {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(text) // a buffer takes everything
	_ = w.Close()
	return &out
}

func takesGzip(r *http.Request) bool {
	for _, value := range r.Header.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			name, quality, _ := strings.Cut(strings.TrimSpace(coding), ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(quality), "q="), 64)
				return err != nil || q > 0
			}
		}
	}
	return false
}
