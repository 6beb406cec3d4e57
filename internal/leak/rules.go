// Package leak writes rules by which scanners find secrets that lie where they
// should not, and knows by whom GitHub signs what it has found. It finds nothing
// itself.
package leak

import (
	"fmt"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Formats are the scanners that there are rules for.
var Formats = []string{"gitleaks", "trufflehog", "github"}

// Rules returns the rules for secrets with a prefix, as the named scanner
// reads them. No rule can check a secret's checksum: what is found has a
// secret's form, and no more.
func Rules(prefix, format string) (string, error) {
	if err := keys.CheckPrefix(prefix); err != nil {
		return "", fmt.Errorf("prefix: %w", err)
	}
	secret := fmt.Sprintf("%s_[0-9A-Za-z]{%d}", prefix, keys.SecretRun)
	switch format {
	case "gitleaks":
		return fmt.Sprintf(gitleaks, prefix, bounded(secret)), nil
	case "trufflehog":
		return fmt.Sprintf(trufflehog, prefix, bounded(secret)), nil
	case "github":
		return fmt.Sprintf(github, prefix, secret), nil
	}
	return "", fmt.Errorf("format %q: expected one of gitleaks, trufflehog, github", format)
}

// bounded matches a secret that is no part of a longer word. An underscore
// ends one: KEY_kw_… is how people name variables and files.
func bounded(secret string) string { return `(?:\b|_)(` + secret + `)(?:\b|_)` }

// gitleaks is a configuration for gitleaks (github.com/gitleaks/gitleaks), on
// top of its own rules. A prefix has no character that TOML would escape.
const gitleaks = `[extend]
useDefault = true

[[rules]]
id = "keywarden-%[1]s"
description = "Keywarden API key"
regex = '''%[2]s'''
secretGroup = 1
keywords = ["%[1]s_"]
tags = ["key", "keywarden"]
`

// trufflehog is a custom detector for TruffleHog (github.com/trufflesecurity/trufflehog).
const trufflehog = `detectors:
  - name: Keywarden API key
    keywords:
      - %[1]s_
    regex:
      secret: '%[2]s'
`

// github is what GitHub asks for a custom pattern of secret scanning, field by
// field; its expressions are Hyperscan's, which has no \b across the secret.
const github = `Pattern name:   Keywarden API key (%[1]s)
Secret format:  %[2]s
Before secret:  \A|[^0-9A-Za-z]
After secret:   \z|[^0-9A-Za-z]
`
