package admin

import (
	"strconv"
	"strings"
)

// etag returns the entity tag of a key's version. It is strong, as If-Match
// asks for (RFC 9110, section 13.1.1); what changes by itself (status,
// last_used_at) is no edit, and leaves it.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ifMatch is the condition of a change.
type ifMatch struct {
	any      bool // no If-Match, or *: every version will do
	versions []string
}

func (m *ifMatch) names(version int64) bool {
	want := etag(version)
	for _, tag := range m.versions {
		if tag == want {
			return true
		}
	}
	return false
}

// readIfMatch reads If-Match. What is no list of strong entity tags matches
// nothing: a guard that can't be read must not let a change through.
func readIfMatch(values []string) ifMatch {
	if len(values) == 0 {
		return ifMatch{any: true}
	}
	list := strings.Join(values, ",")
	if strings.TrimSpace(list) == "*" {
		return ifMatch{any: true}
	}
	m := ifMatch{}
	for tag := range strings.SplitSeq(list, ",") {
		m.versions = append(m.versions, strings.TrimSpace(tag))
	}
	return m
}
