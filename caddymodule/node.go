package caddymodule

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/fleet"
	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const tellingOthers = "telling other nodes about this one"

// beatOnSQLite is how often a node on SQLite says that it is there: most are
// alone, and a disk that nobody needs should be let sleep. What it has applied
// it says at once, all the same.
const beatOnSQLite = 10 * time.Second

// newMember makes this process a node on its store.
func newMember(store keys.Store, s config.Settings, skewed func(time.Duration)) *fleet.Member {
	o := fleet.Options{Store: store, Name: s.Node, Version: version(), Keeps: keeps(lookupOptions(s)), Skewed: skewed}
	if s.Store.Kind == config.SQLite {
		o.Every = beatOnSQLite
	}
	return fleet.New(o)
}

// expandNode replaces placeholders, and takes an empty one for a fault: nodes
// of one name can't be told apart.
func expandNode(text string, repl *caddy.Replacer) (string, error) {
	if text == "" {
		return nodeName(), nil
	}
	text, err := repl.ReplaceOrErr(text, true, true)
	if err != nil {
		return "", fmt.Errorf("node: %w; expected a name: set the variable, or remove node", err)
	}
	if text = strings.TrimSpace(text); fleet.Name(text) != text {
		return "", fmt.Errorf("node %q: expected 1 to 100 of the characters a-z, A-Z, 0-9, '.', '_', ':' and '-'", text)
	}
	return text, nil
}

// nodeName is what people know a process by, if nobody has named it.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil { // its number still tells it from others
		host = "unknown"
	}
	return fleet.Name(fmt.Sprintf("%s:%d", host, os.Getpid()))
}

// keeps is how long a key that was cached may serve without the store.
func keeps(o gate.LookupOptions) time.Duration { return max(o.TTL, o.StaleIfError) }

// declared is what other nodes are told of a configuration.
func declared(catalog *gate.Catalog) []keys.Declared {
	apis := catalog.APIs()
	out := make([]keys.Declared, len(apis))
	for i, a := range apis {
		out[i] = keys.Declared{Name: a.Name, Title: a.Title, Patterns: a.Patterns, Endpoints: a.Endpoints}
	}
	return out
}

// skewed warns of a clock that is off: expiries are judged by it.
func (e *engine) skewed(ahead time.Duration) {
	e.log.Load().Warn("the clock of this node differs from the store's: keys expire too early, or too late (ahead < 0); set it right",
		zap.Duration("ahead", ahead.Round(time.Millisecond)))
}
