package gate

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Credentials are the places of a request in which a secret is looked for.
// What stands elsewhere is no credential, and is neither used nor removed.
type Credentials struct {
	Bearer  bool     // Authorization: Bearer SECRET (RFC 6750), scheme in any letter case
	Basic   bool     // Authorization: Basic, the secret as user name, the password empty
	Headers []string // whole header values, by canonical name
	Queries []string // URL parameters, by decoded name

	// lengths has a bit for each length, modulo 64, of a header's name that
	// matters: most headers are known by it to be none.
	lengths uint64
}

const authorization = "Authorization"

// DefaultCredentials are what is looked for when nothing is configured.
func DefaultCredentials() Credentials {
	return Credentials{Bearer: true, Headers: []string{"X-Api-Key"}}
}

// canonical returns c with header names as net/http spells them, ready to find.
func (c Credentials) canonical() Credentials {
	c.Headers = slices.Clone(c.Headers)
	for i, name := range c.Headers {
		c.Headers[i] = textproto.CanonicalMIMEHeaderKey(name)
		c.lengths |= lengthBit(c.Headers[i])
	}
	if c.Bearer || c.Basic {
		c.lengths |= lengthBit(authorization)
	}
	return c
}

// howTo says where a key belongs in a request: `: send it as "Authorization:
// Bearer KEY" or "X-API-Key: KEY"`.
func (c *Credentials) howTo() string {
	var places []string
	if c.Bearer {
		places = append(places, `"Authorization: Bearer KEY"`)
	}
	for _, name := range c.Headers {
		places = append(places, `"`+name+`: KEY"`)
	}
	for _, name := range c.Queries {
		places = append(places, `"?`+name+`=KEY" in the URL`)
	}
	if c.Basic {
		places = append(places, "the user name of Basic authentication, with an empty password")
	}
	if len(places) == 0 {
		return ""
	}
	return ": send it as " + strings.Join(places, " or ")
}

func lengthBit(name string) uint64 { return 1 << (len(name) % 64) }

// presented is what was found of credentials in a request.
type presented struct {
	text  string // the last one
	count int
}

func (p *presented) add(text string) {
	p.text = text
	p.count++
}

// find returns the one credential of r, "" if there is none, and how many
// there are: more than one is refused even if all are equal, because the
// upstream, or a log, may take another one than we do.
func (c *Credentials) find(r *http.Request) (text string, count int) {
	var p presented
	for name, values := range r.Header {
		if c.lengths&lengthBit(name) != 0 {
			c.findInHeader(&p, name, values)
		}
	}
	c.findInQuery(&p, r.URL.RawQuery)
	return p.text, p.count
}

// findInHeader adds the credentials in one header.
func (c *Credentials) findInHeader(p *presented, name string, values []string) {
	if name == authorization && (c.Bearer || c.Basic) {
		for _, value := range values {
			if found, ok := c.fromAuthorization(value); ok {
				p.add(found)
			}
		}
	}
	for _, ours := range c.Headers {
		if name != ours {
			continue
		}
		for _, value := range values {
			if value != "" {
				p.add(value)
			}
		}
	}
}

// findInQuery adds the credentials in the query of a URL.
func (c *Credentials) findInQuery(p *presented, query string) {
	if len(c.Queries) == 0 || query == "" {
		return
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || !c.namesQuery(name) {
			continue
		}
		p.add(queryText(value))
	}
}

// queryText decodes a value of the query. What can't be decoded is no secret,
// but it is a credential.
func queryText(value string) string {
	if decoded, err := url.QueryUnescape(value); err == nil {
		return decoded
	}
	return value
}

// fromAuthorization returns the secret in the value of an Authorization
// header, if it is of a scheme that is configured.
func (c *Credentials) fromAuthorization(value string) (string, bool) {
	// As nearly everybody sends it.
	const bearer = "Bearer "
	if c.Bearer && len(value) > len(bearer) && value[:len(bearer)] == bearer && value[len(bearer)] != ' ' {
		return value[len(bearer):], true
	}
	scheme, rest, found := strings.Cut(value, " ")
	if !found {
		return "", false
	}
	rest = strings.TrimLeft(rest, " ")
	switch {
	case rest == "":
		return "", false
	case c.Bearer && strings.EqualFold(scheme, "Bearer"):
		return rest, true
	case c.Basic && strings.EqualFold(scheme, "Basic"):
		return basicUser(rest)
	}
	return "", false
}

// basicUser returns the user name of Basic credentials (RFC 7617) whose
// password is empty. With a password they are somebody else's, and go on.
func basicUser(encoded string) (string, bool) {
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", false
	}
	user, password, found := strings.Cut(string(decoded), ":")
	return user, found && password == "" && user != ""
}

// namesQuery reports whether a raw name of the query is one that is configured.
func (c *Credentials) namesQuery(raw string) bool {
	if strings.ContainsAny(raw, "%+") {
		decoded, err := url.QueryUnescape(raw)
		if err != nil {
			return false
		}
		raw = decoded
	}
	return slices.Contains(c.Queries, raw)
}

// Strip removes the credentials from r; the rest of the query stays as it is,
// byte for byte. It copies what it changes of the URL, not of the header.
func (c *Credentials) Strip(r *http.Request) { c.strip(r, nil) }

// strip removes those of the credentials that are ours; nil: all.
func (c *Credentials) strip(r *http.Request, ours func(text string) bool) {
	c.stripAuthorization(r, ours)
	for _, name := range c.Headers {
		if ours == nil || slices.ContainsFunc(r.Header[name], ours) {
			delete(r.Header, name)
		}
	}
	if len(c.Queries) == 0 || r.URL.RawQuery == "" {
		return
	}
	kept := make([]string, 0, 8)
	dropped := false
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if c.namesQuery(name) && (ours == nil || ours(queryText(value))) {
			dropped = true
			continue
		}
		kept = append(kept, pair)
	}
	if !dropped {
		return
	}
	r.URL.RawQuery = strings.Join(kept, "&")
	r.RequestURI = r.URL.RequestURI()
}

func (c *Credentials) stripAuthorization(r *http.Request, ours func(text string) bool) {
	values := r.Header[authorization]
	if len(values) == 0 || !c.Bearer && !c.Basic {
		return
	}
	isOurs := func(value string) bool {
		text, found := c.fromAuthorization(value)
		return found && (ours == nil || ours(text))
	}
	if !slices.ContainsFunc(values, isOurs) {
		return
	}
	// Most often there is one value, and it is ours.
	if rest := slices.DeleteFunc(slices.Clone(values), isOurs); len(rest) > 0 {
		r.Header[authorization] = rest
		return
	}
	delete(r.Header, authorization)
}
