package permission

import (
	"slices"
	"strings"
)

// Parse reads the text that MarshalJSON wrote, also as Postgres' jsonb has
// put it down (another order, more spaces). A key with 1 000 grants has 22 KB of
// it: encoding/json takes 370 µs and 3054 allocations, a reader on jsontext 190 and 1086,
// this 47 and 6, within a look-up that a request waits for.
// Text of any other form is read by encoding/json, which says what is wrong.
func Parse(text string) (Set, error) {
	if set, ok := parse(text); ok {
		return set, nil
	}
	var set Set
	err := set.unmarshal([]byte(text))
	return set, err
}

// parse is Parse for what there is usually. All that two readers could
// understand differently it leaves alone: escapes, names that repeat, names in
// another letter case.
func parse(text string) (Set, bool) {
	r := reader{text: text}
	var mode string
	var grants []Grant
	r.object(func(name string) {
		switch {
		case name == "mode" && mode == "":
			mode = r.word()
		case name == "apis" && grants == nil:
			grants = r.grants()
		default:
			r.failed = true
		}
	})
	if r.failed || r.rest() != "" {
		return Set{}, false
	}
	known, err := ParseMode(mode)
	if err != nil || known != Restricted && len(grants) > 0 {
		return Set{}, false
	}
	if known != Restricted {
		return Set{Mode: known}, true
	}
	set, err := NewRestricted(grants...)
	if err != nil {
		return Set{}, false
	}
	set.gather()
	return set, true
}

// gather puts all names end to end, so that they are one piece of memory, and
// keep no more than they need of the text that they were read from.
func (s *Set) gather() {
	var names strings.Builder
	each := func(visit func(name *string)) {
		for i := range s.APIs {
			visit(&s.APIs[i].API)
			for j := range s.APIs[i].Endpoints {
				visit(&s.APIs[i].Endpoints[j].Endpoint)
			}
		}
	}
	size := 0
	each(func(name *string) { size += len(*name) })
	names.Grow(size)
	each(func(name *string) { names.WriteString(*name) })
	rest := names.String()
	each(func(name *string) { *name, rest = rest[:len(*name)], rest[len(*name):] })
}

// reader reads JSON whose strings are plain, from the front to the end.
type reader struct {
	text   string
	at     int
	failed bool
}

// object reads an object; value reads what belongs to each name.
func (r *reader) object(value func(name string)) {
	if !r.take('{') {
		r.failed = true
		return
	}
	if r.take('}') {
		return
	}
	for {
		name := r.word()
		if !r.take(':') {
			r.failed = true
		}
		if r.failed {
			return
		}
		value(name)
		if r.failed || r.take('}') {
			return
		}
		if !r.take(',') {
			r.failed = true
			return
		}
	}
}

// take takes a character, if it comes next.
func (r *reader) take(c byte) bool {
	for r.at < len(r.text) && r.text[r.at] == ' ' {
		r.at++
	}
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

// word reads a string of printable ASCII without escapes.
func (r *reader) word() string {
	if !r.take('"') {
		r.failed = true
		return ""
	}
	for i := r.at; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			word := r.text[r.at:i]
			r.at = i + 1
			return word
		case c < ' ' || c > '~' || c == '\\':
			r.failed = true
			return ""
		}
	}
	r.failed = true
	return ""
}

// rest is what was not read.
func (r *reader) rest() string { return strings.TrimLeft(r.text[r.at:], " ") }

// grants reads what belongs to "apis"; never nil.
func (r *reader) grants() []Grant {
	grants := []Grant{}
	// One API mostly has all endpoints: each has a colon.
	endpoints := make([]EndpointGrant, 0, strings.Count(r.text[r.at:], ":"))
	r.object(func(api string) {
		grants = append(grants, r.grant(api, &endpoints))
	})
	return grants
}

// grant reads the grant of one API. Its endpoints are a part of endpoints.
func (r *reader) grant(api string, endpoints *[]EndpointGrant) Grant {
	grant := Grant{API: api}
	first, access := len(*endpoints), ""
	seen := false
	r.object(func(name string) {
		switch {
		case name == "access" && access == "":
			access = r.word()
		case name == "endpoints" && !seen:
			seen = true
			r.object(func(id string) {
				*endpoints = append(*endpoints, EndpointGrant{Endpoint: id, Access: r.access(r.word())})
			})
		default:
			r.failed = true
		}
	})
	if access == restrictedWord {
		grant.ByEndpoint, grant.Endpoints = true, slices.Clip((*endpoints)[first:])
		if len(grant.Endpoints) == 0 {
			grant.Endpoints = nil
		}
		return grant
	}
	grant.Access = r.access(access)
	r.failed = r.failed || seen // which mean nothing here
	return grant
}

func (r *reader) access(word string) Access {
	access, err := ParseAccess(word)
	r.failed = r.failed || err != nil
	return access
}
