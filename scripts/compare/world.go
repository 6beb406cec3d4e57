package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/errgroup"

	"github.com/caddy-keywarden/keywarden/scripts/internal/program"
)

// world is what all gateways share: an upstream, an auth service, and keys.
type world struct {
	options
	dir                          string
	front, back, upstream, auth  string
	keysFile, basicFile          string
	secrets                      []string
	mapFile, haproxyFile, bcrypt string
	helpers                      []*program.Program
}

func newWorld(ctx context.Context, dir string, o options) (*world, error) {
	w := &world{options: o, dir: dir}
	if err := program.FreeAddresses(ctx, &w.front, &w.back, &w.upstream, &w.auth); err != nil {
		return nil, err
	}
	if err := w.makeKeys(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for role, address := range map[string]string{"upstream": w.upstream, "auth": w.auth} {
		p, err := program.Start(ctx, role, w.dir, self, "-serve", role, "-listen", address, "-keys", w.keysFile)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.helpers = append(w.helpers, p)
		if err := p.Await(ctx, "http://"+address+"/"); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, nil
}

func (w *world) close() (err error) {
	for _, p := range w.helpers {
		err = errors.Join(err, p.Stop())
	}
	return err
}

// makeKeys writes the keys in the form that each gateway takes.
func (w *world) makeKeys() error {
	hashes := make([]string, w.keys)
	var values, basic, nginxMap, haproxyMap strings.Builder
	for range w.keys {
		text, err := program.NewSecret()
		if err != nil {
			return err
		}
		w.secrets = append(w.secrets, text)
		fmt.Fprintln(&values, text)
		fmt.Fprintln(&basic, "Basic "+base64.StdEncoding.EncodeToString([]byte(text+":x")))
		fmt.Fprintf(&nginxMap, "%q 1;\n", text)
		fmt.Fprintln(&haproxyMap, text, "1")
	}
	var hashing errgroup.Group
	for i, text := range w.secrets {
		hashing.Go(func() error {
			hash, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
			hashes[i] = "\t\t" + text + " " + string(hash) + "\n"
			return err
		})
	}
	if err := hashing.Wait(); err != nil {
		return err
	}
	w.bcrypt = strings.Join(hashes, "")
	for _, f := range []struct {
		path *string
		name string
		text string
	}{
		{&w.keysFile, "keys", values.String()},
		{&w.basicFile, "basic", basic.String()},
		{&w.mapFile, "nginx.map", nginxMap.String()},
		{&w.haproxyFile, "haproxy.map", haproxyMap.String()},
	} {
		*f.path = filepath.Join(w.dir, f.name)
		if err := os.WriteFile(*f.path, []byte(f.text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// usualTarget is what is asked for.
const usualTarget = "/rest/items/7"

// launch starts a gateway and returns when it answers a request with a key,
// and refuses one with another, where it is to refuse any.
func (w *world) launch(ctx context.Context, s *subject) (*program.Program, error) {
	p, err := w.spawn(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := w.check(ctx, s, p); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// spawn starts a gateway.
func (w *world) spawn(ctx context.Context, s *subject) (*program.Program, error) {
	dir := filepath.Join(w.dir, s.id())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config")
	fill := strings.NewReplacer("{FRONT}", w.front, "{BACK}", w.back, "{UPSTREAM}", w.upstream, "{AUTH}", w.auth, "{DIR}", dir, "{POSTGRES}", w.postgres,
		"{ADMINKEY}", program.AdminKey, "{BCRYPT}", w.bcrypt, "{MAP}", w.mapFile, "{HAMAP}", w.haproxyFile, "{CONFIG}", config)
	if err := os.WriteFile(config, []byte(fill.Replace(s.config)), 0o600); err != nil {
		return nil, err
	}
	words := []string{find(w.bin, s.program)}
	for _, a := range s.args {
		words = append(words, fill.Replace(a))
	}
	return program.Start(ctx, s.id(), dir, words...)
}

func (w *world) check(ctx context.Context, s *subject, p *program.Program) error {
	if err := p.Await(ctx, "http://"+w.front+usualTarget); err != nil {
		return err
	}
	if s.imports {
		if err := p.Await(ctx, "http://"+w.back+"/readyz"); err != nil {
			return err
		}
		if err := w.fillCache(ctx, s, p); err != nil {
			return err
		}
	}
	if s.plain {
		return nil
	}
	status, err := program.Status(ctx, "http://"+w.front+usualTarget, "X-API-Key", "not-a-key")
	if err == nil && status != http.StatusUnauthorized {
		err = fmt.Errorf("%s answers %d to a request with a false key", s.name, status)
	}
	return err
}

// fillCache brings keys in, or waits for what was brought in before.
func (w *world) fillCache(ctx context.Context, s *subject, p *program.Program) error {
	switch {
	case s.scale == nil:
		return w.importKeys(ctx)
	case s.scale.cached > 0:
		return p.AwaitSaying(ctx, "the cache is warm", 10*time.Minute)
	}
	return nil
}

// importKeys brings the keys in, once: the database stays from round to round.
func (w *world) importKeys(ctx context.Context) error {
	status, err := program.Status(ctx, "http://"+w.front+usualTarget, "X-API-Key", w.secrets[0])
	if err != nil || status == http.StatusOK {
		return err
	}
	all := make([]program.Key, len(w.secrets))
	for i, text := range w.secrets {
		all[i] = program.Key{Secret: text, Permissions: program.All}
	}
	return program.Import(ctx, w.back, all)
}
