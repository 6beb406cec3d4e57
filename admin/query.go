package admin

import (
	"encoding/json"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// parameter is a parameter of the URL's query, documented and enforced.
type parameter struct {
	name, description string
	schema            *huma.Schema
}

// query holds the parameters that were given. An empty one counts as left
// out, as forms send all of their fields.
type query map[string]string

// readQuery reads the parameters, and notes every fault: what is unknown or
// repeats is one, as a misspelt filter would else show too many keys.
func (a *api) readQuery(raw string, known []parameter, f *faults) query {
	given, err := url.ParseQuery(raw)
	if err != nil {
		f.add("", "the query of the URL can't be read: expected name=value pairs, percent-encoded")
		return nil
	}
	out := query{}
	for name, values := range given {
		p := findParameter(known, name)
		switch {
		case p == nil:
			f.add(name, unknownParameter(known))
		case len(values) > 1:
			f.add(name, "is given more than once")
		case !utf8.ValidString(values[0]):
			f.add(name, "is not valid UTF-8")
		case values[0] != "":
			a.schemas.check(p.schema, name, p.value(values[0]), f)
			out[name] = values[0]
		}
	}
	return out
}

// value returns the text as the JSON value that the schema is about.
func (p *parameter) value(text string) any {
	if p.schema.Type != huma.TypeInteger {
		return text
	}
	if _, err := strconv.Atoi(text); err != nil {
		return text // the schema says what was expected
	}
	return json.Number(text)
}

func findParameter(known []parameter, name string) *parameter {
	for i := range known {
		if known[i].name == name {
			return &known[i]
		}
	}
	return nil
}

func unknownParameter(known []parameter) string {
	if len(known) == 0 {
		return "unknown parameter; this call takes none"
	}
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.name
	}
	sort.Strings(names)
	return "unknown parameter; expected one of " + strings.Join(names, ", ")
}

// limit returns the page's size: schemas bound it already.
func (q query) limit() int {
	n, err := strconv.Atoi(q["limit"])
	if err != nil {
		return defaultLimit
	}
	return n
}

const (
	defaultLimit = 50
	maxLimit     = 200
)
