package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// sum is the SHA-256 of rows in their order: the same on every engine.
type sum struct {
	hash  hash.Hash
	field []byte // reused
}

func newSum() *sum { return &sum{hash: sha256.New()} }

// add adds a row: each value with its kind and length, so that no two rows
// read alike.
func (s *sum) add(row []any) {
	for _, value := range row {
		s.field = s.field[:0]
		switch v := value.(type) {
		case nil:
			s.field = append(s.field, '0')
		case int64:
			s.field = binary.BigEndian.AppendUint64(append(s.field, 'i'), uint64(v)) //nolint:gosec // any bits will do
		case string:
			s.field = append(binary.BigEndian.AppendUint64(append(s.field, 's'), uint64(len(v))), v...)
		case []byte:
			s.field = append(binary.BigEndian.AppendUint64(append(s.field, 'b'), uint64(len(v))), v...)
		}
		_, _ = s.hash.Write(s.field) // hashes never fail
	}
}

func (s *sum) sum() (out [sha256.Size]byte) {
	s.hash.Sum(out[:0])
	return out
}
