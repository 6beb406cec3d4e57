package sqlstore

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// rights remembers what rights are written as, for look-ups: many keys have
// the same. To read permissions from JSON takes a tenth of a look-up, and
// identities in the cache, which may be millions, share what is remembered.
type rights struct {
	seed maphash.Seed
	at   [4096]atomic.Pointer[right]
	// large are rights with many grants: keys of one kind have the same.
	large [64]atomic.Pointer[right]
}

// right are rights as they stand in a row, and what they are.
type right struct {
	rightsRow
	keys *keys.Rights
}

// rightsRow is what of a row says what its key may do.
type rightsRow struct {
	permissions, admin, sources string
	enabled                     bool
	endsAt                      int64
}

// How long texts may be that are remembered, so that all of them together take a
// few megabytes at most.
const (
	rememberedText  = 1024
	rememberedLarge = 32 << 10
)

func newRights() *rights { return &rights{seed: maphash.MakeSeed()} }

// read returns what a row says. Two places are looked at, so that a few rights
// that most keys have don't drive each other out.
func (s *rights) read(row *rightsRow) (*keys.Rights, error) {
	hash := maphash.Comparable(s.seed, *row)
	size := len(row.permissions) + len(row.sources)
	at := s.at[:]
	if size > rememberedText {
		at = s.large[:]
	}
	places := [2]*atomic.Pointer[right]{&at[hash%uint64(len(at))], &at[hash>>32%uint64(len(at))]}
	for _, place := range places {
		if known := place.Load(); known != nil && known.rightsRow == *row {
			return known.keys, nil
		}
	}
	read, err := row.read()
	if err != nil {
		return nil, err
	}
	if size <= rememberedLarge && row.endsAt == 0 { // that is one key's
		place := places[0]
		if place.Load() != nil {
			place = places[1]
		}
		place.Store(&right{*row, read})
	}
	return read, nil
}

func (row *rightsRow) read() (*keys.Rights, error) {
	r := keys.Rights{Enabled: row.enabled, EndsAt: row.endsAt}
	var err error
	if r.Permissions, err = permission.Parse(row.permissions); err != nil {
		return nil, err
	}
	if err := r.Admin.UnmarshalText([]byte(row.admin)); err != nil {
		return nil, err
	}
	r.Sources, err = readSources(row.sources)
	return &r, err
}
