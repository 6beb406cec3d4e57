package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

const (
	envAddress = "KEYWARDEN_ADDRESS"
	envKey     = "KEYWARDEN_ADMIN_KEY"
)

func addAddressFlag(cmd *cobra.Command) {
	cmd.PersistentFlags().String("address", "", "Address of the admin API (default: "+envAddress+", the saved login, "+admin.DefaultAddress+")")
}

// client returns a client for the address and admin key that the contract's
// section 8 selects. A saved key is sent to no other address than the one it
// was saved for: whoever could name another one would be handed the key.
func (i *invocation) client() (*admin.Client, error) {
	given, err := i.givenAddress()
	if err != nil {
		return nil, err
	}
	key := strings.TrimSpace(i.Getenv(envKey))
	if given != "" && key != "" {
		return i.connect(given, key)
	}
	login, err := i.savedLogin()
	switch {
	case err != nil && !errors.Is(err, errNoLogin):
		return nil, err
	case key != "":
		return i.connect(first(login.Address, admin.DefaultAddress), key)
	case err != nil:
		return nil, howToLogIn("no admin key for "+first(given, admin.DefaultAddress)+": nobody has logged in", given)
	case given != "" && given != login.Address:
		return nil, howToLogIn(fmt.Sprintf("no admin key for %s: the saved login is for %s, and its key is sent nowhere else", given, login.Address), given)
	}
	return i.connect(login.Address, login.Key)
}

// givenAddress returns the address of the flag or the environment; "" where
// neither is set.
func (i *invocation) givenAddress() (string, error) {
	flag, err := i.cmd.Flags().GetString("address")
	if err != nil {
		return "", fmt.Errorf("reading --address: %w", err)
	}
	text, from := flag, "--address"
	if !i.cmd.Flags().Changed("address") {
		text, from = i.Getenv(envAddress), envAddress
		if text == "" {
			return "", nil
		}
	}
	address, err := admin.ParseAddress(text)
	if err != nil {
		return "", usagef("%s: %v", from, err)
	}
	return address, nil
}

func (i *invocation) savedLogin() (saved, error) {
	file, err := i.credentials()
	if err != nil {
		return saved{}, err
	}
	login, open, err := file.load()
	if open {
		i.note("Warning: others can read your saved admin key; run: chmod 600 %s", file.path)
	}
	return login, err
}

func (i *invocation) connect(address, key string) (*admin.Client, error) {
	client, err := admin.NewClient(address, key)
	if err != nil {
		return nil, err
	}
	i.warnInClear(client.Address())
	return client, nil
}

func (i *invocation) warnInClear(address string) {
	if admin.InClear(address) {
		i.note("Warning: %s is plain http: the admin key can be read on its way there. Use https, or an ssh tunnel.", address)
	}
}

func howToLogIn(why, address string) error {
	login := strings.TrimSpace("keywarden login " + address)
	return fmt.Errorf(`%s. Log in with
  %s    (asks for an admin key)
  keywarden login --config Caddyfile    (on the gateway's own machine: makes one)
or set %s`, why, login, envKey)
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
