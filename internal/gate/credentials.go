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
}

// DefaultCredentials are what is looked for when nothing is configured.
func DefaultCredentials() Credentials {
	return Credentials{Bearer: true, Headers: []string{"X-Api-Key"}}
}

// canonical returns c with header names as net/http spells them.
func (c Credentials) canonical() Credentials {
	c.Headers = slices.Clone(c.Headers)
	for i, name := range c.Headers {
		c.Headers[i] = textproto.CanonicalMIMEHeaderKey(name)
	}
	return c
}

// find returns the one credential of r, "" if there is none, and how many
// there are: more than one is refused even if all are equal, because the
// upstream, or a log, may take another one than we do.
func (c *Credentials) find(r *http.Request) (text string, count int) {
	if c.Bearer || c.Basic {
		for _, value := range r.Header["Authorization"] {
			if found, ok := c.fromAuthorization(value); ok {
				text = found
				count++
			}
		}
	}
	for _, name := range c.Headers {
		for _, value := range r.Header[name] {
			if value != "" {
				text = value
				count++
			}
		}
	}
	if len(c.Queries) == 0 || r.URL.RawQuery == "" {
		return text, count
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || !c.namesQuery(name) {
			continue
		}
		count++
		// What can't be decoded is no secret, but it is a credential.
		text = value
		if decoded, err := url.QueryUnescape(value); err == nil {
			text = decoded
		}
	}
	return text, count
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
func (c *Credentials) Strip(r *http.Request) {
	c.stripAuthorization(r)
	for _, name := range c.Headers {
		delete(r.Header, name)
	}
	if len(c.Queries) == 0 || r.URL.RawQuery == "" {
		return
	}
	kept := make([]string, 0, 8)
	dropped := false
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if c.namesQuery(name) {
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

func (c *Credentials) stripAuthorization(r *http.Request) {
	values := r.Header["Authorization"]
	if len(values) == 0 || !c.Bearer && !c.Basic {
		return
	}
	isOurs := func(value string) bool {
		_, ours := c.fromAuthorization(value)
		return ours
	}
	if !slices.ContainsFunc(values, isOurs) {
		return
	}
	// Most often there is one value, and it is ours.
	if rest := slices.DeleteFunc(slices.Clone(values), isOurs); len(rest) > 0 {
		r.Header["Authorization"] = rest
		return
	}
	delete(r.Header, "Authorization")
}
