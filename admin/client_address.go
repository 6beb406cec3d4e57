package admin

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// DefaultAddress is where a gateway's admin API is expected when nobody says
// otherwise.
const DefaultAddress = "http://localhost:2020"

// ParseAddress returns the one spelling of the address of an admin API, so
// that two addresses can be compared: scheme and host in lower case, no
// default port, no trailing slash. A path is kept: the API may be mounted
// below one. Without a scheme, a host on this machine is http, every other
// one https.
func ParseAddress(text string) (string, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "://") {
		text = guessScheme(text) + text
	}
	u, err := url.Parse(text)
	if err != nil {
		// The error of url.Parse repeats the text, and with it a password.
		return "", fmt.Errorf("address: not a URL; expected one like %s", DefaultAddress)
	}
	switch {
	case u.User != nil:
		// Not quoted: what stands before the @ may be a secret.
		return "", errors.New("address: expected no user name or password before the host; keywarden login asks for the admin key")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("address %q: expected http:// or https://", text)
	case !isHost(u.Hostname()):
		return "", fmt.Errorf("address %q: expected a host, as in %s", text, DefaultAddress)
	case u.Port() != "" && !isPort(u.Port()):
		return "", fmt.Errorf("address %q: expected a port from 1 to 65535", text)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("address %q: expected no ? and no #", text)
	}
	return u.Scheme + "://" + canonicalHost(u) + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// guessScheme is what stands before an address that was given without a
// scheme: an admin key should not travel in clear because of six characters
// that nobody typed.
func guessScheme(text string) string {
	host, _, _ := strings.Cut(text, "/")
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if isLoopback(strings.Trim(host, "[]")) {
		return "http://"
	}
	return "https://"
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// isHost reports whether host can be one: url.Parse takes nearly every text that
// is not ASCII, and what is ASCII if it is escaped.
func isHost(host string) bool {
	address, zone, _ := strings.Cut(host, "%")
	if strings.Contains(address, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil && !strings.ContainsFunc(zone, notInZone)
	}
	return host != "" && !strings.ContainsFunc(host, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r) || strings.ContainsRune("%\"<>\uFFFD", r)
	})
}

// notInZone reports whether r stands in no interface's name as a zone: what RFC
// 6874 takes unescaped.
func notInZone(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._~", r)
}

func canonicalHost(u *url.URL) string {
	name, zone, scoped := strings.Cut(u.Hostname(), "%")
	host, port := strings.ToLower(name), u.Port()
	if scoped { // RFC 6874; the names of interfaces may differ by case alone
		host += "%25" + zone
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return host
	}
	return host + ":" + port
}

// InClear reports whether what is sent to address can be read on the way:
// plain http to another machine.
func InClear(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "http" && !isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
