package route

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// parameter is one of a URL's query.
type parameter struct {
	name, value string
	folded      string // as the most generous of servers reads the name
}

type parameters []parameter

// parseParameters reads the query of a URL, and refuses what servers read
// differently: a parameter that repeats, also in another letter case or as a
// list, a semicolon between two, a faulty escape.
func parseParameters(query string) (parameters, error) {
	var params parameters
	if strings.Contains(query, ";") {
		return nil, unreadable("the URL has a ; between parameters: write %%3B for one in a value")
	}
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, unreadable("the URL has a parameter that is not valid UTF-8, percent-encoded")
		}
		p := parameter{name, value, generousName(name)}
		if seen[p.folded] {
			return nil, unreadable("the URL has the parameter %q twice, in the same or another spelling", clip(name))
		}
		seen[p.folded] = true
		params = append(params, p)
	}
	return params, nil
}

// generousName is a parameter's name as PHP and its like read it: without
// leading spaces, ending at NUL or a bracket, a dot or space being _; and in
// folded letter case.
func generousName(name string) string {
	name, _, _ = strings.Cut(name, "\x00")
	name = strings.TrimSpace(name)
	if i := strings.IndexByte(name, '['); i > 0 {
		name = name[:i]
	}
	name = strings.NewReplacer(".", "_", " ", "_").Replace(name)
	return string(appendFold(nil, name))
}

func (p parameters) get(name string) (string, bool) {
	for _, q := range p {
		if q.name == name {
			return q.value, true
		}
	}
	return "", false
}

// any returns the first of the names that is there in some spelling, or "".
func (p parameters) any(names ...string) string {
	for _, name := range names {
		folded := generousName(name)
		if slices.ContainsFunc(p, func(q parameter) bool { return q.folded == folded }) {
			return name
		}
	}
	return ""
}

// onlyExact refuses another spelling of one of the names.
func (p parameters) onlyExact(names ...string) error {
	for _, name := range names {
		if _, ok := p.get(name); !ok && p.any(name) != "" {
			return unreadable("the URL has the parameter %s in another spelling", name)
		}
	}
	return nil
}

// checkPostURL refuses a POST whose URL has parameters that belong into the
// body: servers differ in which of the two they take.
func checkPostURL(r *http.Request, names ...[]string) error {
	params, err := parseParameters(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if MethodInQuery(r) {
		return unreadable("the URL has a _method parameter, which could turn this request into another one")
	}
	for _, group := range names {
		if name := params.any(group...); name != "" {
			return unreadable("the URL of a POST has the parameter %q: send it in the body", name)
		}
	}
	return nil
}

// contentType returns the media type of the body, in lower case. A charset
// other than UTF-8 is refused.
func contentType(r *http.Request) (string, map[string]string, error) {
	if len(r.Header["Content-Type"]) != 1 {
		return "", nil, unreadable("the request has no Content-Type")
	}
	mediaType, params, err := mime.ParseMediaType(r.Header["Content-Type"][0])
	if err != nil {
		return "", nil, unreadable("the Content-Type is malformed")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", nil, unreadable("the charset %q is not accepted here: send UTF-8", clip(charset))
	}
	return mediaType, params, nil
}
