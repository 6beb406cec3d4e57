package caddymodule

import (
	"fmt"
	"os"
	"time"

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
	o := fleet.Options{Store: store, Name: nodeName(), Version: version(), Keeps: keeps(lookupOptions(s)), Skewed: skewed}
	if s.Store.Kind == config.SQLite {
		o.Every = beatOnSQLite
	}
	return fleet.New(o)
}

// nodeName is what people know a process by.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil { // its number still tells it from others
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
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
