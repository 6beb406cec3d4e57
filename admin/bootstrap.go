package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// BootstrapFile is the name of the file that the first admin key's secret is
// written to.
const BootstrapFile = "admin.key"

// bootstrapID is the actor of the bootstrap, and the name of its key.
const bootstrapID keys.ID = "bootstrap"

// BootstrapOptions say where the first admin key goes.
type BootstrapOptions struct {
	Dir       string           // folder of the file; made with mode 0700
	KeyPrefix string           // ""; keys.DefaultPrefix
	Now       func() time.Time // nil: time.Now
	Random    io.Reader        // nil: crypto/rand
}

// Bootstrap makes the first admin key if no admin key is stored, and writes
// its secret to a file. Call it only where the configuration has no admin key.
//
//   - created: the key was made; path is the file with its secret.
//   - not created, with a path: the file was there already, with a secret that
//     opens nothing, so that none was made. To go on: delete the file and start
//     again, or use "keywarden login --config".
//   - not created, without a path: there is nothing to do.
//
// The file is written before the key is stored: a crash between the two then
// leaves a file too many, which can be deleted, and not an admin key whose
// secret nobody has.
func Bootstrap(ctx context.Context, store keys.Store, o BootstrapOptions) (path string, created bool, err error) {
	o = o.withDefaults()
	// No file for a store that is down: the next try would find it in its way.
	if has, err := store.HasAdmin(ctx); err != nil || has {
		return "", false, err
	}
	path = filepath.Join(o.Dir, BootstrapFile)
	secret, err := keys.NewSecret(o.KeyPrefix, o.Random)
	if err != nil {
		return "", false, err
	}
	err = writeSecret(path, secret)
	if errors.Is(err, fs.ErrExist) {
		return o.existing(ctx, store, path)
	}
	if err != nil {
		return "", false, fmt.Errorf("writing the first admin key: %w", err)
	}
	outcome, err := o.store(ctx, store, secret)
	switch outcome {
	case stored:
		return path, true, nil
	case unknown:
		return path, false, err
	}
	if removing := os.Remove(path); removing != nil {
		err = errors.Join(err, fmt.Errorf("removing the file of an admin key that was not made: %w", removing))
	}
	return "", false, err
}

func (o BootstrapOptions) withDefaults() BootstrapOptions {
	if o.KeyPrefix == "" {
		o.KeyPrefix = keys.DefaultPrefix
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return o
}

// outcome is what became of a key that was to be stored.
type outcome int

const (
	notStored outcome = iota
	stored
	unknown // it may be stored: its file must stay
)

// store stores the key unless there is an admin key. Where the store's answer
// was lost, it looks whether the key is there.
func (o BootstrapOptions) store(ctx context.Context, store keys.Store, secret keys.Secret) (outcome, error) {
	now := o.Now().UTC().Truncate(time.Millisecond)
	created, err := store.CreateFirstAdmin(ctx, keys.By{Actor: bootstrapID, At: now}, keys.New{
		Key: keys.Key{
			ID: keys.NewID(), Name: string(bootstrapID), Prefix: secret.Prefix(), Admin: permission.Write, Enabled: true,
			CreatedAt: now, UpdatedAt: now, CreatedBy: bootstrapID, Metadata: map[string]string{}, Version: 1,
		},
		Digest: secret.Digest(),
	})
	switch {
	case err == nil && created:
		return stored, nil
	case err == nil:
		return notStored, nil
	}
	// The context may be what ended the call.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), findTime)
	defer cancel()
	err = fmt.Errorf("storing the first admin key: %w", err)
	_, finding := store.Find(ctx, secret.Digest())
	switch {
	case finding == nil:
		return stored, nil
	case errors.Is(finding, keys.ErrNoSuchKey):
		return notStored, err
	}
	return unknown, errors.Join(err, finding)
}

// findTime bounds the look whether a key was stored after all.
const findTime = 2 * time.Second

// existing judges a file that was there: its secret may be that of a key of
// the store, and then all is well.
func (o BootstrapOptions) existing(ctx context.Context, store keys.Store, path string) (string, bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", false, fmt.Errorf("reading the first admin key: %w", err)
	}
	secret, malformed := keys.ForeignSecret(strings.TrimSpace(string(text)))
	if malformed != nil {
		return path, false, nil //nolint:nilerr // a file of something else is no fault, and it is in the way
	}
	_, err = store.Find(ctx, secret.Digest())
	switch {
	case errors.Is(err, keys.ErrNoSuchKey):
		return path, false, nil
	case err != nil:
		return "", false, fmt.Errorf("looking for the first admin key: %w", err)
	}
	return "", false, nil
}

// writeSecret writes a new file that only its owner can read, durably; it
// never writes over one that is there.
func writeSecret(path string, secret keys.Secret) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, secret.Reveal()+"\n")
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
