package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/caddy-keywarden/keywarden/admin"
)

// credentials is the file of the saved login: one admin key, and the only
// address that it is sent to.
type credentials struct{ path string }

// saved is what the file holds.
type saved struct {
	Address string `json:"address"`
	Key     string `json:"key"`
}

// String keeps the key out of whatever prints a saved login.
func (s saved) String() string { return "login for " + s.Address }

// GoString is String, for %#v.
func (s saved) GoString() string { return s.String() }

// errNoLogin says that nobody has logged in.
var errNoLogin = errors.New("no saved login")

// maxCredentials bounds what is read: the file is a line.
const maxCredentials = 64 << 10

func (p *program) credentials() (*credentials, error) {
	dir := p.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) { // the XDG specification: a relative one is to be ignored
		var err error
		if dir, err = p.configHome(); err != nil {
			return nil, fmt.Errorf("finding the folder for the saved login: %w; set XDG_CONFIG_HOME", err)
		}
	}
	return &credentials{filepath.Join(dir, "keywarden", "credentials.json")}, nil
}

func (p *program) configHome() (string, error) {
	home := p.Getenv("HOME")
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" || home == "" {
		return os.UserConfigDir()
	}
	return filepath.Join(home, ".config"), nil
}

// load returns the saved login, or errNoLogin. open says that others than its
// owner can read the file.
func (c *credentials) load() (login saved, open bool, err error) {
	f, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return saved{}, false, errNoLogin
	}
	if err != nil {
		return saved{}, false, fmt.Errorf("reading the saved login: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return saved{}, false, fmt.Errorf("reading the saved login: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxCredentials))
	if err != nil {
		return saved{}, false, fmt.Errorf("reading the saved login: %w", err)
	}
	// The cause is left out: errors of package json quote what they read.
	if json.Unmarshal(text, &login) != nil || login.Address == "" || login.Key == "" {
		return saved{}, false, fmt.Errorf("reading the saved login: %s is damaged; log in again with keywarden login, which replaces it", c.path)
	}
	if login.Address, err = admin.ParseAddress(login.Address); err != nil {
		return saved{}, false, fmt.Errorf("reading the saved login %s: %w", c.path, err)
	}
	// Windows has no such bits: files in the user's profile are the user's.
	return login, runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0, nil
}

// prepare finds out whether save can work, before a key is made for it.
func (c *credentials) prepare() error {
	f, err := c.temporary()
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	return f.Close()
}

// save replaces the saved login. It appears whole or not at all, and nobody
// else can read it at any moment: the file is made 0600 under another name,
// written to the disk, and renamed.
func (c *credentials) save(login saved) (err error) {
	text, err := json.Marshal(login)
	if err != nil {
		return fmt.Errorf("saving the login: %w", err)
	}
	f, err := c.temporary()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("saving the login: %w", err), ignoreGone(os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), c.path)
}

func (c *credentials) temporary() (*os.File, error) {
	dir := filepath.Dir(c.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("saving the login: %w", err)
	}
	f, err := os.CreateTemp(dir, ".credentials-*") // 0600, a name that did not exist
	if err != nil {
		return nil, fmt.Errorf("saving the login: %w", err)
	}
	return f, nil
}

// remove deletes the saved login, or returns errNoLogin.
func (c *credentials) remove() error {
	err := os.Remove(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return errNoLogin
	}
	if err != nil {
		return fmt.Errorf("removing the saved login: %w", err)
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
