package caddymodule

import (
	"slices"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/gate"
)

// redacted stands where a secret stood.
const redacted = "REDACTED"

// secretRun is how many base62 characters follow the prefix of a secret.
const secretRun = 38

// mask knows where secrets may stand.
type mask struct {
	headers []string // folded names of headers that hold secrets
	queries []string // names of parameters that hold secrets
}

// newMask returns a mask of what holds secrets whatever is configured.
func newMask() *mask {
	return &mask{headers: []string{"authorization", "proxy-authorization", "x-api-key"}}
}

// with returns a mask that knows c as well.
func (m *mask) with(c gate.Credentials) *mask {
	out := &mask{headers: slices.Clone(m.headers), queries: slices.Clone(m.queries)}
	for _, name := range c.Headers {
		name = strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
		if !slices.Contains(out.headers, name) {
			out.headers = append(out.headers, name)
		}
	}
	for _, name := range c.Queries {
		if !slices.Contains(out.queries, name) {
			out.queries = append(out.queries, name)
		}
	}
	return out
}

// header returns the values of a header as a log may hold them; the same
// slice where there is nothing to hide.
func (m *mask) header(name string, values []string) []string {
	if isOneOf(m.headers, name) {
		return []string{redacted}
	}
	var out []string
	for i, value := range values {
		clean := m.text(value)
		if clean == value {
			continue
		}
		if out == nil {
			out = slices.Clone(values)
		}
		out[i] = clean
	}
	if out == nil {
		return values
	}
	return out
}

// text returns s without what looks like a secret, and without the values of
// parameters that hold one.
func (m *mask) text(s string) string {
	return maskShapes(m.parameters(s))
}

// maskShapes replaces everything that has the form of a secret, whatever its
// prefix, and however often percent-encoded. What is only similar goes too:
// a log loses little by it.
func maskShapes(s string) string {
	if len(s) < len("a_")+secretRun {
		return s
	}
	var out strings.Builder
	done := 0 // s[:done] is written
	for i := 0; i < len(s); {
		c, n := decodeAt(s, i)
		if c != '_' {
			i += n
			continue
		}
		end, run := base62From(s, i+n)
		start := prefixBefore(s, done, i)
		follows := done > 0 && i == done // what is hidden may be its prefix
		if run < secretRun || start == i && !follows {
			i += n
			continue
		}
		if !follows {
			out.WriteString(s[done:start])
			out.WriteString(redacted)
		}
		done, i = end, end
	}
	if done == 0 {
		return s
	}
	out.WriteString(s[done:])
	return out.String()
}

// decodeAt returns the character at s[i] and how many bytes it takes; a
// percent-encoded one is decoded as often as it was encoded.
func decodeAt(s string, i int) (byte, int) {
	c, n := s[i], 1
	for c == '%' && i+n+1 < len(s) {
		high, low := unhex(s[i+n]), unhex(s[i+n+1])
		if high < 0 || low < 0 {
			break
		}
		c = byte(high<<4 | low) //nolint:gosec // G115: both are below 16
		n += 2
	}
	return c, n
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// base62From returns where the run of base62 characters from s[i] ends, and
// how many it has.
func base62From(s string, i int) (end, run int) {
	for i < len(s) {
		c, n := decodeAt(s, i)
		if !isBase62(c) {
			break
		}
		i += n
		run++
	}
	return i, run
}

// prefixBefore returns where the prefix that ends before s[i] begins, at from
// at the earliest; i if there is none. Percent-encoded characters count as
// part of it: "%20" before a prefix is hidden with it.
func prefixBefore(s string, from, i int) int {
	start := i
	for start > from {
		c := s[start-1]
		if !isBase62(c) && c != '_' && c != '%' {
			break
		}
		start--
	}
	return start
}

func isBase62(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// Where the name of a parameter may begin, and where its value ends. A value
// of an imported secret may hold any other printable character.
const (
	beforeName = "&;?#\"'<>(, \t\r\n"
	afterValue = "&#\" \t\r\n"
)

// parameters replaces the values of the configured parameters wherever one is
// written as in a URL: in a request's URI, a Referer, a Location, a message;
// also where that URL is itself the value of a parameter, and so encoded once
// more.
func (m *mask) parameters(s string) string {
	if len(m.queries) == 0 {
		return s
	}
	var out strings.Builder
	var name []byte
	done := 0
	for i := 0; i < len(s); {
		c, n := decodeAt(s, i)
		i += n
		switch {
		case c == '=' && m.isParameter(name):
			end := valueEnd(s, i, n)
			if end > i {
				out.WriteString(s[done:i])
				out.WriteString(redacted)
			} else {
				out.WriteString(s[done:i])
			}
			done, i, name = end, end, name[:0]
		case strings.IndexByte(beforeName, c) >= 0:
			name = name[:0]
		default:
			name = append(name, c)
		}
	}
	if done == 0 {
		return s
	}
	out.WriteString(s[done:])
	return out.String()
}

// valueEnd returns where the value ends that begins at s[i] after an equals
// sign of n bytes. What is encoded more often than that sign is part of it.
func valueEnd(s string, i, n int) int {
	for i < len(s) {
		c, size := decodeAt(s, i)
		if size <= n && strings.IndexByte(afterValue, c) >= 0 {
			return i
		}
		i += size
	}
	return i
}

func (m *mask) isParameter(name []byte) bool {
	return slices.ContainsFunc(m.queries, func(q string) bool { return strings.EqualFold(q, string(name)) })
}
