package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	secretPrefix = "whsec_"
	// What Standard Webhooks asks for.
	leastSecret, mostSecret = 24, 64
)

// Secret is what messages are signed with. However it is printed, it does not
// show.
type Secret struct{ key []byte }

// ParseSecret reads "whsec_" and 24 to 64 random bytes in base64. An error does
// not repeat the text.
func ParseSecret(text string) (Secret, error) {
	encoded, found := strings.CutPrefix(text, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) < leastSecret || len(key) > mostSecret {
		return Secret{}, fmt.Errorf(`expected %s and %d to %d random bytes in base64, as from: echo "%s$(openssl rand -base64 32)"`,
			secretPrefix, leastSecret, mostSecret, secretPrefix)
	}
	return Secret{key}, nil
}

// String keeps the secret out of logs.
func (Secret) String() string { return secretPrefix + "…" }

// GoString keeps the secret out of logs.
func (s Secret) GoString() string { return s.String() }

// sign returns the header webhook-signature: a signature by each secret, so
// that a receiver may know the former or the next one.
func sign(secrets []Secret, id string, at time.Time, body []byte) string {
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		mac := hmac.New(sha256.New, s.key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}
