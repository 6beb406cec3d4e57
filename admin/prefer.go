package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// The headers of a change that waits for other nodes.
const (
	headerPrefer  = "Prefer"
	headerApplied = "Preference-Applied"
	headerPending = "Keywarden-Pending-Nodes"
)

// maxWait bounds what a caller may ask for.
const maxWait = 30 * time.Second

// awaitNodes does what "Prefer: wait=N" asks for after a change: it waits
// until the change holds on every node, at most N seconds, and says in the
// headers whether it does. The change is made either way, so the status is
// the same. ctx is the request's: the time of a call does not bound the wait.
func (a *api) awaitNodes(ctx context.Context, c *call) {
	wait := preferredWait(c.request.Header.Values(headerPrefer))
	if wait == 0 || a.Fleet == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	behind, err := a.Fleet.Await(ctx)
	switch {
	case err != nil:
		a.logFault(c.request, err)
		c.header.Set(headerPending, "*")
	case len(behind) > 0:
		c.header.Set(headerPending, nodeNames(behind))
	default:
		c.header.Set(headerApplied, fmt.Sprintf("wait=%d", wait/time.Second))
	}
}

func nodeNames(nodes []keys.Node) string {
	names := make([]string, len(nodes))
	for i := range nodes {
		names[i] = nodes[i].Name
	}
	return strings.Join(names, ", ")
}

// preferredWait reads the preference "wait" (RFC 7240, section 4.3): 0 if it
// is not given, or not a number of seconds. Preferences that a server does not
// understand are to be passed over. The first of several counts (section 2).
func preferredWait(headers []string) time.Duration {
	for _, preference := range splitOutsideQuotes(strings.Join(headers, ","), ',') {
		// What follows a semicolon are parameters; wait has none.
		preference = splitOutsideQuotes(preference, ';')[0]
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		value = strings.TrimSpace(value)
		if unquoted, ok := strings.CutPrefix(value, `"`); ok {
			value = strings.TrimSuffix(unquoted, `"`)
		}
		return seconds(value)
	}
	return 0
}

// seconds reads 1*DIGIT; more than maxWait is maxWait.
func seconds(text string) time.Duration {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n > uint64(maxWait/time.Second) {
		return maxWait // digits alone can only be too many
	}
	return time.Duration(n) * time.Second // at most maxWait
}

// splitOutsideQuotes splits at separators that stand in no quoted-string
// (RFC 9110, section 5.6.4).
func splitOutsideQuotes(text string, separator byte) (parts []string) {
	begin, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && text[i] == separator:
			parts = append(parts, text[begin:i])
			begin = i + 1
		}
	}
	return append(parts, text[begin:])
}

// preferWords document the headers.
const (
	preferWords  = "wait=N: answer when the change holds on every gateway on the same store, or after N seconds (at most 30) without; see the headers of the answer. RFC 7240."
	appliedWords = "With Prefer: wait, where the change holds on every gateway: the preference."
	pendingWords = "With Prefer: wait, where the change is made, but not known to hold on every gateway: the names of those that have not applied it, as in GET /v1/nodes, separated by commas; * if they can't be told. One that is not live may go on answering from memory until it is gone from that list."
)
