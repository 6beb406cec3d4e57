package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/errgroup"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const adminKey = "compare-admin-key-0123456789abcdef"

// world is what all gateways share: an upstream, an auth service, and keys.
type world struct {
	options
	dir                          string
	front, back, upstream, auth  string
	keysFile, basicFile          string
	secrets                      []string
	mapFile, haproxyFile, bcrypt string
	helpers                      []*process
}

func newWorld(ctx context.Context, dir string, o options) (*world, error) {
	w := &world{options: o, dir: dir}
	for _, address := range []*string{&w.front, &w.back, &w.upstream, &w.auth} {
		free, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		*address = free
	}
	if err := w.makeKeys(); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for role, address := range map[string]string{"upstream": w.upstream, "auth": w.auth} {
		p, err := start(ctx, w.dir, role, self, "-serve", role, "-listen", address, "-keys", w.keysFile)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.helpers = append(w.helpers, p)
		if err := await(ctx, p, "http://"+address+"/"); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, nil
}

func (w *world) close() (err error) {
	for _, p := range w.helpers {
		err = errors.Join(err, p.stop())
	}
	return err
}

// makeKeys writes the keys in the form that each gateway takes.
func (w *world) makeKeys() error {
	hashes := make([]string, w.keys)
	var values, basic, nginxMap, haproxyMap strings.Builder
	for range w.keys {
		secret, err := keys.NewSecret(keys.DefaultPrefix, rand.Reader)
		if err != nil {
			return err
		}
		text := secret.Reveal()
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
func (w *world) launch(ctx context.Context, s *subject) (*process, error) {
	p, err := w.spawn(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := w.check(ctx, s, p); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// spawn starts a gateway.
func (w *world) spawn(ctx context.Context, s *subject) (*process, error) {
	dir := filepath.Join(w.dir, s.id())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config")
	fill := strings.NewReplacer("{FRONT}", w.front, "{BACK}", w.back, "{UPSTREAM}", w.upstream, "{AUTH}", w.auth, "{DIR}", dir, "{POSTGRES}", w.postgres,
		"{ADMINKEY}", adminKey, "{BCRYPT}", w.bcrypt, "{MAP}", w.mapFile, "{HAMAP}", w.haproxyFile, "{CONFIG}", config)
	if err := os.WriteFile(config, []byte(fill.Replace(s.config)), 0o600); err != nil {
		return nil, err
	}
	var args []string
	for _, a := range s.args {
		args = append(args, fill.Replace(a))
	}
	return start(ctx, dir, s.id(), find(w.bin, s.program), args...)
}

func (w *world) check(ctx context.Context, s *subject, p *process) error {
	if err := await(ctx, p, "http://"+w.front+usualTarget); err != nil {
		return err
	}
	if s.imports {
		if err := await(ctx, p, "http://"+w.back+"/readyz"); err != nil {
			return err
		}
		if err := w.fillCache(ctx, s, p); err != nil {
			return err
		}
	}
	if s.plain {
		return nil
	}
	status, err := status(ctx, "http://"+w.front+usualTarget, "X-API-Key", "not-a-key")
	if err == nil && status != http.StatusUnauthorized {
		err = fmt.Errorf("%s answers %d to a request with a false key", s.name, status)
	}
	return err
}

// fillCache brings keys in, or waits for what was brought in before.
func (w *world) fillCache(ctx context.Context, s *subject, p *process) error {
	switch {
	case s.scale == nil:
		return w.importKeys(ctx)
	case s.scale.cached > 0:
		return awaitWarm(ctx, p)
	}
	return nil
}

// importKeys brings the keys in, once: the database stays from round to round.
func (w *world) importKeys(ctx context.Context) error {
	status, err := status(ctx, "http://"+w.front+usualTarget, "X-API-Key", w.secrets[0])
	if err != nil || status == http.StatusOK {
		return err
	}
	batch := make([]importedKey, len(w.secrets))
	for i, text := range w.secrets {
		batch[i] = importedKey{text, map[string]string{"mode": "all"}}
	}
	for some := range slices.Chunk(batch, 10_000) {
		if err := w.importBatch(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func status(ctx context.Context, url, header, value string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set(header, value)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// await waits until something answers at url.
func await(ctx context.Context, p *process, url string) error {
	for began := time.Now(); time.Since(began) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		if p.ended() {
			return fmt.Errorf("%s did not start: %s", p.name, p.said())
		}
		if status, err := status(ctx, url, "X-Compare", "1"); err == nil && status != http.StatusServiceUnavailable {
			return nil
		}
	}
	return fmt.Errorf("%s has not answered within 30 s: %s", p.name, p.said())
}

func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// process is a program that was started here.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	output bytes.Buffer
}
