package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"strings"
	"unsafe"
)

// The format of a secret (contract, section 3):
// PREFIX_ + 32 random base62 characters + 6 base62 characters of CRC-32.
const (
	DefaultPrefix = "kw"

	randomLen   = 32
	checksumLen = 6
	// SecretRun is how many base62 characters follow the prefix and its _.
	SecretRun  = randomLen + checksumLen
	displayLen = 8 // random characters that a displayed prefix shows

	maxPrefixLen = 20
	// MaxSecretLen bounds what is accepted as a secret, imported ones
	// included; longer text is malformed and is not hashed.
	MaxSecretLen = 512
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// ErrMalformed is a text that is not a secret of the expected format.
var ErrMalformed = errors.New("malformed secret")

// Digest is the SHA-256 of a whole secret, which is all that a store keeps of
// it. A fast hash is right here, unlike for passwords: a secret has 190
// random bits, so there is nothing to guess (RFC 9106 is for what can be).
type Digest [sha256.Size]byte

// Is reports whether two digests are the same. It looks at all of them, a word
// at a time, so that how long it takes tells nothing of where they differ:
// crypto/subtle goes byte by byte. Digests are compared by it alone.
func (d *Digest) Is(other *Digest) bool {
	var differing uint64
	for i := 0; i < len(d); i += 8 {
		differing |= binary.LittleEndian.Uint64(d[i:]) ^ binary.LittleEndian.Uint64(other[i:])
	}
	return differing == 0
}

// Secret is the text that a caller presents. It shows itself as its displayed
// prefix wherever something prints it; Reveal is the only way to the text.
type Secret struct{ text string }

// NewSecret makes a secret with 32 characters from random, which is
// crypto/rand's Reader outside tests.
func NewSecret(prefix string, random io.Reader) (Secret, error) {
	if err := CheckPrefix(prefix); err != nil {
		return Secret{}, err
	}
	if random == nil {
		random = rand.Reader
	}
	text := make([]byte, 0, len(prefix)+1+randomLen+checksumLen)
	text = append(text, prefix...)
	text = append(text, '_')
	var buf [1]byte
	for n := 0; n < randomLen; {
		if _, err := io.ReadFull(random, buf[:]); err != nil {
			return Secret{}, fmt.Errorf("reading random bytes: %w", err)
		}
		// 248 is the greatest multiple of 62 in a byte: what is above it would
		// make the first characters of the alphabet likelier.
		if buf[0] >= 248 {
			continue
		}
		text = append(text, alphabet[buf[0]%base])
		n++
	}
	text = appendChecksum(text, crc32.ChecksumIEEE(text))
	return Secret{string(text)}, nil
}

// ParseSecret takes text as a secret with the given prefix, if its alphabet,
// length and checksum are right; else it returns ErrMalformed. It does not
// allocate, so that garbage costs next to nothing.
func ParseSecret(prefix, text string) (Secret, error) {
	head := len(prefix) + 1
	if len(text) != head+randomLen+checksumLen || text[:len(prefix)] != prefix || text[len(prefix)] != '_' {
		return Secret{}, ErrMalformed
	}
	body := unsafe.Slice(unsafe.StringData(text), head+randomLen)
	var strange uint64
	for i := head; i < len(body); i += 8 {
		strange |= outsideAlphabet(binary.LittleEndian.Uint64(body[i:]))
	}
	if sum, ok := readChecksum(text[len(body):]); !ok || strange != 0 || sum != uint64(crc32.ChecksumIEEE(body)) {
		return Secret{}, ErrMalformed
	}
	return Secret{text}, nil
}

// ForeignSecret takes any text as a secret of another system, to be imported
// or looked up after an import: 1 to MaxSecretLen printable ASCII characters
// without spaces, which is what a header can carry unchanged.
func ForeignSecret(text string) (Secret, error) {
	if text == "" || len(text) > MaxSecretLen {
		return Secret{}, ErrMalformed
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return Secret{}, ErrMalformed
		}
	}
	return Secret{text}, nil
}

// CheckPrefix says whether prefix may stand before secrets: it matches
// [a-z][a-z0-9_]{0,19} and does not end in an underscore.
func CheckPrefix(prefix string) error {
	fault := fmt.Errorf("key prefix %q: expected 1 to %d characters a-z, 0-9 and _, the first a letter, the last no _", prefix, maxPrefixLen)
	if prefix == "" || len(prefix) > maxPrefixLen || prefix[0] < 'a' || prefix[0] > 'z' || prefix[len(prefix)-1] == '_' {
		return fault
	}
	for i := range len(prefix) {
		c := prefix[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return fault
		}
	}
	return nil
}

// Digest returns the SHA-256 of the whole secret.
func (s Secret) Digest() Digest {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(s.text), len(s.text)))
}

// Prefix returns what is displayed of a secret: its own prefix and the first
// 8 random characters (kw_3fGh81Qz).
func (s Secret) Prefix() string {
	i := len(s.text) - randomLen - checksumLen
	if i > 0 && i <= maxPrefixLen+1 && s.text[i-1] == '_' {
		if _, err := ParseSecret(s.text[:i-1], s.text); err == nil {
			return s.text[:i+displayLen]
		}
	}
	return ForeignPrefix(s.text)
}

// ForeignPrefix returns what is displayed of an imported secret: its first 8
// characters, and never more than half of it.
func ForeignPrefix(text string) string {
	return text[:min(displayLen, len(text)/2)]
}

// IsZero reports whether s holds no secret.
func (s Secret) IsZero() bool { return s.text == "" }

// Reveal returns the secret's text. Every caller of it is a place where a
// secret leaves: grep for them.
func (s Secret) Reveal() string { return s.text }

// String returns the displayed prefix, so that printing a secret is harmless.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return s.Prefix() + "…"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return "keys.Secret(" + s.String() + ")" }

// Format is String for every verb: without it, %x would print the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalJSON writes the displayed prefix. An answer that hands a secret out
// takes it from Reveal.
func (s Secret) MarshalJSON() ([]byte, error) {
	return []byte(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s.String()) + `"`), nil
}

// LogValue is String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// outsideAlphabet marks, of 8 characters at once, those that are not in the
// alphabet: looking at one after the other took half of ParseSecret's time.
// The sums can't carry from one byte into the next, as each is below 0x100.
func outsideAlphabet(eight uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	ascii := eight &^ high
	digit := (ascii + each*(0x80-'0')) &^ (ascii + each*(0x7f-'9'))
	lower := ascii | each*0x20
	letter := (lower + each*(0x80-'a')) &^ (lower + each*(0x7f-'z'))
	return (eight | ^(digit | letter)) & high
}

const (
	base = 62 // characters of the alphabet
	// noDigit is a bit that no digit has.
	noDigit = 0x80
)

// digits are the values of the alphabet's characters, noDigit for all others.
var digits = func() (table [256]byte) {
	for c := range table {
		table[c] = noDigit
	}
	for value := range base {
		table[alphabet[value]] = byte(value)
	}
	return table
}()

// readChecksum reads 6 base62 digits. They are less than 2^36, so that two
// texts never give one sum.
func readChecksum(text string) (sum uint64, ok bool) {
	var seen byte
	for i := range checksumLen {
		digit := digits[text[i]]
		seen |= digit
		sum = sum*base + uint64(digit)
	}
	return sum, seen < noDigit
}

// appendChecksum appends sum as 6 base62 digits, most significant first;
// 62^6 is more than 2^32, so they always suffice.
func appendChecksum(dst []byte, sum uint32) []byte {
	var text [checksumLen]byte
	for i := checksumLen - 1; i >= 0; i-- {
		text[i] = alphabet[sum%base]
		sum /= base
	}
	return append(dst, text[:]...)
}
