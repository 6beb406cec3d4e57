package sqlstore

import (
	"encoding/json"
	"hash/maphash"
	"sync/atomic"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// sets remembers what permissions are written as, for look-ups: many keys have
// the same, and to read them from JSON takes a tenth of a look-up. Identities
// share what is remembered, and change nothing of it.
type sets struct {
	seed maphash.Seed
	at   [256]atomic.Pointer[set]
}

type set struct {
	text        string
	permissions permission.Set
}

// rememberedText is how long a text may be that is remembered, so that all of
// them together take some hundred kilobytes.
const rememberedText = 1024

func newSets() *sets { return &sets{seed: maphash.MakeSeed()} }

func (s *sets) read(text []byte) (permission.Set, error) {
	slot := &s.at[maphash.Bytes(s.seed, text)%uint64(len(s.at))]
	if known := slot.Load(); known != nil && known.text == string(text) {
		return known.permissions, nil
	}
	var read permission.Set
	if err := json.Unmarshal(text, &read); err != nil {
		return permission.Set{}, err
	}
	if len(text) <= rememberedText {
		slot.Store(&set{string(text), read})
	}
	return read, nil
}
