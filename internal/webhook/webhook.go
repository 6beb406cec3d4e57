// Package webhook tells endpoints that an operator configured what happened to
// keys, in signed messages (https://www.standardwebhooks.com), and goes on
// trying until they are taken. What there is to tell, and what became of it, is
// in the store; this package sends it.
package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// DefaultTimeout is how long a receiver may take to answer: 15 to 30 seconds
// are what Standard Webhooks suggests.
const DefaultTimeout = 15 * time.Second

// Endpoint is where messages go, and which.
type Endpoint struct {
	URL     *url.URL
	Secrets []Secret // each signs; several while one takes the place of another
	Events  []string
	Timeout time.Duration
}

// ParseURL reads the address of an endpoint. Messages tell who owns which keys,
// so they go encrypted, or stay on the machine, unless insecure is set. An
// error does not repeat the address: tokens stand in paths of many.
func ParseURL(text string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("expected a URL, such as https://hooks.example.com/keys")
	case u.User != nil:
		return nil, errors.New("found a user or password in the URL; expected none: messages are signed")
	case u.Fragment != "":
		return nil, errors.New("found a fragment (#) in the URL; expected none")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		return nil, errors.New("found http; expected https, since messages tell who owns which keys; insecure allows it")
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ID is what the store knows the endpoint by: it is made of the URL, which is
// not stored itself, as there may be a token in it.
func (e *Endpoint) ID() string {
	sum := sha256.Sum256([]byte(e.URL.String()))
	return "wh_" + hex.EncodeToString(sum[:8])
}

// Host is what people are shown of the URL.
func (e *Endpoint) Host() string { return e.URL.Host }

// actions are the audit's actions that the endpoint hears of, with the event
// of each.
func (e *Endpoint) actions() map[string]string {
	wanted := map[string]string{}
	for _, action := range keys.KeyActions {
		if event := keys.EventOf(action); slices.Contains(e.Events, event) {
			wanted[action] = event
		}
	}
	return wanted
}

// CheckEvent says what is wrong with the name of an event.
func CheckEvent(name string) error {
	switch {
	case slices.Contains(keys.ChangeEvents, name):
		return nil
	case name == keys.EventRefused:
		return fmt.Errorf("%s is an event of a request, of which webhooks are not told; use Caddy's global option events", name)
	}
	return fmt.Errorf("event %q: expected one of %v", name, keys.ChangeEvents)
}
