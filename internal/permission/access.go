// Package permission says what access a set of permissions gives on an API
// and its endpoints. It knows nothing of keys, requests or storage.
package permission

import (
	"fmt"
	"strings"
)

// Access is what a caller may do: None < Read < Write; write includes read.
type Access uint8

// The three accesses, ordered: a greater one includes the smaller.
const (
	None Access = iota
	Read
	Write
)

var accessNames = [...]string{"none", "read", "write"}

// String returns the contract's word for a: none, read or write.
func (a Access) String() string {
	if int(a) < len(accessNames) {
		return accessNames[a]
	}
	return "invalid"
}

// ParseAccess reads none, read or write; nothing else, in no other letter case.
func ParseAccess(s string) (Access, error) {
	for i, name := range accessNames {
		if s == name {
			return Access(i), nil
		}
	}
	return None, fmt.Errorf("access %q: expected one of %s", s, strings.Join(accessNames[:], ", "))
}

// MarshalText writes the contract's word.
func (a Access) MarshalText() ([]byte, error) {
	if int(a) >= len(accessNames) {
		return nil, fmt.Errorf("access %d does not exist", a)
	}
	return []byte(accessNames[a]), nil
}

// UnmarshalText is ParseAccess.
func (a *Access) UnmarshalText(text []byte) error {
	parsed, err := ParseAccess(string(text))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// Mode is how a set of permissions is meant: for everything, or as listed.
type Mode uint8

// The modes of the contract's section 4. The zero Mode is Restricted, which
// opens nothing unless something is listed: a forgotten mode fails closed.
const (
	Restricted Mode = iota
	ReadOnly
	All
)

var modeNames = [...]string{"restricted", "read_only", "all"}

// String returns the contract's word for m: all, read_only or restricted.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "invalid"
}

// ParseMode reads all, read_only or restricted.
func ParseMode(s string) (Mode, error) {
	for i, name := range modeNames {
		if s == name {
			return Mode(i), nil
		}
	}
	return Restricted, fmt.Errorf("mode %q: expected one of all, read_only, restricted", s)
}
