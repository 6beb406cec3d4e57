package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

// Copying is who hears of a copy.
type Copying struct {
	// Note is told in words what a person should know.
	Note     func(text string)
	Progress sqlstore.Progress
}

// Copy copies everything that lasts from one store into another, empty one:
// all of it or nothing. Stores are named as ParsePlace takes them.
func Copy(ctx context.Context, from, to string, o Copying) (_ []sqlstore.Copied, err error) {
	source, err := openSource(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("FROM: %w", err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := noteLive(ctx, source, o.Note); err != nil {
		return nil, fmt.Errorf("FROM: %w", err)
	}
	place, err := ParsePlace(to)
	if err != nil {
		return nil, fmt.Errorf("TO: %w", err)
	}
	target, err := Open(ctx, place, keys.Options{})
	if err != nil {
		return nil, fmt.Errorf("TO: %w", err)
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	copied, err := sqlstore.Copy(ctx, source, target, o.Progress)
	if errors.Is(err, sqlstore.ErrNotEmpty) {
		return nil, fmt.Errorf("TO: %w; nothing was copied: name an empty database, in which no gateway has made an admin key yet", err)
	}
	return copied, err
}

// openSource opens a store that must be there already.
func openSource(ctx context.Context, from string) (keys.Store, error) {
	place, err := ParsePlace(from)
	if err != nil {
		return nil, err
	}
	if place.Kind == SQLite { // which would else make it
		if _, err := os.Stat(place.Address); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no database %s", place.Address)
		}
	}
	return Open(ctx, place, keys.Options{})
}

// noteLive says which gateways may change the source while it is copied.
func noteLive(ctx context.Context, source keys.Store, note func(string)) error {
	nodes, _, err := source.Nodes(ctx)
	if err != nil {
		return err
	}
	var live []string
	for _, n := range nodes {
		if n.Live() {
			live = append(live, n.Name)
		}
	}
	if len(live) > 0 {
		note("these gateways are running on the source, and what is changed there from now on is not copied: " + strings.Join(live, ", "))
	}
	return nil
}

// keywords are how an address of Postgres begins that is no URL.
var keywords = regexp.MustCompile(`^\s*[a-z_]+\s*=`)

// ParsePlace reads where a store is from one text: sqlite:PATH, or the address
// of a Postgres database, a URL or keywords and values. An error does not
// repeat the text, which may hold a password.
func ParsePlace(text string) (Place, error) {
	p := Place{}
	if path, ok := strings.CutPrefix(text, "sqlite:"); ok {
		p = Place{Kind: SQLite, Address: path}
	} else if strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://") || keywords.MatchString(text) {
		p = Place{Kind: Postgres, Address: text}
	}
	if p.Address == "" {
		return Place{}, errors.New("expected sqlite:PATH, or the address of a Postgres database, such as postgres://USER@HOST/DATABASE")
	}
	return p, Check(p)
}
