package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// files looks at who can read what holds keys.
func (e *examination) files(s config.Settings) {
	paths := []string{filepath.Join(besideStore(s.Store), "admin.key")}
	if s.Store.Kind == config.SQLite {
		paths = append(paths, s.Store.Address, s.Store.Address+"-wal")
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			e.fault("files", err.Error(), "let the gateway's user read it")
		case info.Mode().Perm()&0o077 != 0 && open(filepath.Dir(path)):
			e.fault("files", fmt.Sprintf("%s can be read by other users of this machine (mode %04o)", path, info.Mode().Perm()), "chmod 600 "+path)
		default:
			e.fine("files", "%s is for its owner alone", path)
		}
		if err == nil && filepath.Base(path) == "admin.key" {
			e.note("files", path+" still holds the first admin key", "keywarden login < "+path+", then delete the file")
		}
	}
}

// open says whether other users can get into a folder.
func open(dir string) bool {
	info, err := os.Stat(dir)
	return err != nil || info.Mode().Perm()&0o077 != 0
}

// store asks the store what a gateway asks.
func (e *examination) store(ctx context.Context, s config.Settings) {
	if s.Store.Kind == config.SQLite {
		if _, err := os.Stat(s.Store.Address); errors.Is(err, fs.ErrNotExist) {
			e.note("store", s.Store.Address+" is not there yet", "nothing, if no gateway has run so far: the first start makes it")
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	store, err := openStore(ctx, s.Store, keys.Options{})
	if err != nil {
		e.fault("store", err.Error(), "mend that: no gateway starts with it")
		return
	}
	e.askStore(ctx, s, store)
	if err := store.Close(); err != nil {
		e.fault("store", "closing it: "+err.Error(), "look at the store's log")
	}
}

func (e *examination) askStore(ctx context.Context, s config.Settings, store keys.Store) {
	began := time.Now()
	if err := store.Ping(ctx); err != nil {
		e.fault("store", "can't be asked: "+err.Error(), "start it, and check its address; cached keys go on working for stale_if_error")
		return
	}
	counts, err := store.Counts(ctx, began)
	if err != nil {
		e.fault("store", "counting keys: "+err.Error(), "look at the store's log")
		return
	}
	began = time.Now()
	if _, err := store.Find(ctx, keys.Digest{}); err != nil && !errors.Is(err, keys.ErrNoSuchKey) {
		e.fault("store", "looking up a key: "+err.Error(), "look at the store's log")
		return
	}
	took := time.Since(began)
	text := fmt.Sprintf("%s: %d keys active, %d disabled, %d expired; a look-up takes %.1f ms", s.Store.Kind, counts.Active, counts.Disabled, counts.Expired, float64(took.Microseconds())/1000)
	if took > slowLookup {
		e.note("store", text, "bring the store nearer: a key that is not cached waits that long")
	} else {
		e.fine("store", "%s", text)
	}
	e.admins(ctx, s, store)
	e.nodes(ctx, store)
}

// slowLookup is many times what a look-up takes on a usual network.
const slowLookup = 50 * time.Millisecond

func (e *examination) admins(ctx context.Context, s config.Settings, store keys.Store) {
	has, err := store.HasAdmin(ctx)
	switch {
	case err != nil:
		e.fault("admin", "asking for admin keys: "+err.Error(), "look at the store's log")
	case s.AdminKey != "" && len(s.AdminKey) < weakAdminKey:
		e.fault("admin", "admin_key is short enough to be guessed", "use 32 random characters or more")
	case !has && s.AdminKey == "":
		e.note("admin", "there is no admin key", "start the gateway, which makes one, or run: keywarden login --config Caddyfile")
	default:
		e.fine("admin", "there is an admin key")
	}
}

// nodes looks at the gateways on the store: are they up to date, and do their
// clocks agree?
func (e *examination) nodes(ctx context.Context, store keys.Store) {
	nodes, last, err := store.Nodes(ctx)
	if err != nil {
		e.fault("nodes", "asking for the gateways on the store: "+err.Error(), "look at the store's log")
		return
	}
	if len(nodes) == 0 {
		e.note("nodes", "no gateway runs on this store", "start one")
		return
	}
	versions := map[string]bool{}
	for i := range nodes {
		n := &nodes[i]
		switch {
		case !n.Live():
			e.fault("nodes", fmt.Sprintf("%s was last heard of %s ago", n.Name, n.Silence.Round(time.Second)), "if it was stopped, nothing: it is forgotten soon; else look at its log and its way to the store")
			continue
		case n.Applied < last:
			e.note("nodes", fmt.Sprintf("%s has still to apply %d changes", n.Name, last-n.Applied), "ask again; if it stays so, its change feed is cut: look at its log")
		default:
			e.fine("nodes", "%s has applied every change (%d)", n.Name, last)
		}
		versions[n.Version] = true
		e.clock(n.Name, n.Skew)
	}
	if len(versions) > 1 {
		e.note("nodes", "gateways of different versions run on this store", "finish the update")
	}
	newest := nodes[0]
	for _, n := range nodes {
		if n.SeenAt.After(newest.SeenAt) {
			newest = n
		}
	}
	e.clock("this machine", time.Since(newest.SeenAt.Add(newest.Silence)))
}

// A clock that is further off than this misjudges expiry noticeably; gateways
// log it, too.
const clockTolerance = 5 * time.Second

func (e *examination) clock(whose string, skew time.Duration) {
	if skew.Abs() > clockTolerance {
		e.fault("clock", fmt.Sprintf("the clock of %s is %s off the store's", whose, skew.Round(time.Second)), "let NTP set it: keys expire by the gateway's clock")
		return
	}
	e.fine("clock", "%s agrees with the store", whose)
}

// gateway asks the one that runs here, if one does.
func (e *examination) gateway(ctx context.Context, text []byte) {
	var root struct {
		Apps struct {
			HTTP json.RawMessage `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		e.fault("gateway", err.Error(), "mend the configuration")
		return
	}
	address, err := adminAddress(root.Apps.HTTP)
	if err != nil {
		e.note("gateway", "not asked: "+err.Error(), "nothing, if another gateway on the store has the admin API")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/readyz", http.NoBody)
	if err != nil {
		e.fault("gateway", err.Error(), "mend the address of api_key_admin")
		return
	}
	request.Header.Set("User-Agent", "keywarden-doctor")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.note("gateway", "does not answer at "+address+": "+err.Error(), "start it: keywarden run")
		return
	}
	_ = response.Body.Close() // only the status counts
	if response.StatusCode != http.StatusOK {
		e.fault("gateway", fmt.Sprintf("%s/readyz answers %d: it can't reach its store, or does not hear of changes", address, response.StatusCode), "look at its log")
		return
	}
	e.fine("gateway", "%s is ready", address)
}
