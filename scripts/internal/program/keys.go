package program

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Key is a key as the admin API imports it.
type Key struct {
	Secret      string `json:"secret"`
	Owner       string `json:"owner,omitempty"`
	Permissions any    `json:"permissions"`
}

// All are permissions that allow everything.
var All = map[string]string{"mode": "all"}

// NewSecret returns a secret of the usual form.
func NewSecret() (string, error) {
	secret, err := keys.NewSecret(keys.DefaultPrefix, rand.Reader)
	return secret.Reveal(), err // the load sends it
}

// mostAtOnce is how many keys the admin API takes at once.
const mostAtOnce = 10_000

// Import brings keys into the gateway whose admin API is at address.
func Import(ctx context.Context, address string, all []Key) error {
	for some := range slices.Chunk(all, mostAtOnce) {
		text, err := json.Marshal(map[string]any{"keys": some})
		if err != nil {
			return err
		}
		status, said, err := Ask(ctx, http.MethodPost, "http://"+address+"/v1/keys/import", text)
		if err == nil && status != http.StatusCreated {
			err = fmt.Errorf("answered %d: %.1000s", status, said)
		}
		if err != nil {
			return fmt.Errorf("importing keys: %w", err)
		}
	}
	return nil
}
