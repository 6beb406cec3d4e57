package route

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
)

// overrideHeaders are the headers by which some upstreams let a request take
// another method than its own.
var overrideHeaders = [...]string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"}

// overrideHeader returns which of the headers a name is, or -1. CGI and its
// heirs read _ and - alike, so both spellings are one header.
func overrideHeader(name string) int {
	for i, header := range overrideHeaders {
		if sameHeader(name, header) {
			return i
		}
	}
	return -1
}

// sameHeader compares a header's name in any letter case, _ being -.
func sameHeader(name, header string) bool {
	if len(name) != len(header) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c == '_' {
			c = '-'
		}
		if lowerASCII(c) != lowerASCII(header[i]) {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// MethodInQuery reports whether the URL has a _method parameter, by which
// some frameworks let a POST be another method.
func MethodInQuery(r *http.Request) bool { return hasMethodParameter(r.URL.RawQuery) }

// IsForm reports whether the body of r could be taken for a form, in which
// MethodInForm must then look. Without a Content-Type some frameworks (Rack)
// take a POST for a form.
func IsForm(r *http.Request) bool {
	types := r.Header["Content-Type"]
	if len(types) != 1 || dropsContentHeader(r) {
		return true
	}
	lower := strings.ToLower(types[0])
	return strings.TrimSpace(lower) == "" ||
		strings.Contains(lower, "application/x-www-form-urlencoded") || strings.Contains(lower, "multipart/")
}

// MethodInForm reports whether a form body has a _method parameter, or can't
// be read as a form well enough to say that it has none.
func MethodInForm(r *http.Request, body []byte) bool {
	if len(body) == 0 {
		return false
	}
	types := r.Header["Content-Type"]
	if len(types) > 1 || len(r.Header["Content-Encoding"]) > 0 || dropsContentHeader(r) {
		return true
	}
	if len(types) == 0 || strings.TrimSpace(types[0]) == "" {
		return hasMethodParameter(string(body))
	}
	mediaType, params, err := mime.ParseMediaType(types[0])
	switch {
	case err != nil:
		return true
	case mediaType == "application/x-www-form-urlencoded":
		return hasMethodParameter(string(body))
	case strings.HasPrefix(mediaType, "multipart/"):
		return hasMethodPart(body, params["boundary"])
	}
	return true // it names a form type in some other place
}

func hasMethodParameter(query string) bool {
	for query != "" {
		var pair string
		if i := strings.IndexAny(query, "&;"); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			pair, query = query, ""
		}
		name, _, _ := strings.Cut(pair, "=")
		if isMethodParameter(name) {
			return true
		}
		if decoded, err := url.QueryUnescape(name); err == nil && isMethodParameter(decoded) {
			return true
		}
	}
	return false
}

// isMethodParameter compares a parameter's name with _method as generously as
// PHP does: it drops leading spaces, takes a dot, a space or a bracket for _,
// ends at NUL, and a bracket makes it a list. Letter case does not count.
func isMethodParameter(name string) bool {
	const method = "method"
	name, _, _ = strings.Cut(name, "\x00")
	name = strings.TrimLeft(name, " \t\r\n\v\f")
	if len(name) <= len(method) || !strings.ContainsRune("_. [+", rune(name[0])) || !strings.EqualFold(name[1:1+len(method)], method) {
		return false
	}
	rest := strings.TrimRight(name[1+len(method):], " \t\r\n\v\f")
	return rest == "" || rest[0] == '['
}

// hasMethodPart is strict: a part whose name can't be read in one way only
// counts as the parameter.
func hasMethodPart(body []byte, boundary string) bool {
	if boundary == "" || !endsParts(body, boundary) {
		return true
	}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil || len(part.Header["Content-Disposition"]) != 1 {
			return true
		}
		_, params, err := mime.ParseMediaType(part.Header["Content-Disposition"][0])
		if err != nil || params["name"] == "" || isMethodParameter(params["name"]) {
			return true
		}
	}
}
