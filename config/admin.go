package config

import "errors"

// Admin is the configuration of the handler api_key_admin.
type Admin struct {
	// Who may report leaked secrets. Default: everybody, by `POST /v1/leaks`.
	Leaks *Leaks `json:"leaks,omitempty"`
}

// Leaks says by which calls leaked secrets can be reported. They need no admin
// key, and end what a reported secret opens.
type Leaks struct {
	// If true, by none.
	Off bool `json:"off,omitempty"`
	// A file with GitHub's public keys, as
	// https://api.github.com/meta/public_keys/secret_scanning answers them; it
	// is read at load. With it `POST /v1/leaks/github` takes the alerts of
	// GitHub's secret scanning. Default: none.
	GitHubKeys string `json:"github_keys,omitempty"`
}

// Validate returns what is wrong.
func (a *Admin) Validate() error {
	if a.Leaks != nil && a.Leaks.Off && a.Leaks.GitHubKeys != "" {
		return errors.New("leaks: found off and github_keys; expected one of them")
	}
	return nil
}
