package sqlstore

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// The lists that are paged, as they stand in cursors.
const (
	keyList      = 'k'
	unusedList   = 'u'
	sortedList   = 's'
	auditList    = 'a'
	deliveryList = 'd'
)

const (
	defaultPage = 50
	maxPage     = 200
)

func pageSize(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}

// A cursor is the list's letter, the number of the page's last row and a
// checksum, in base64url. The checksum is against accidents (a cursor of the
// other list, a character lost in a mail); who forges one sees other rows of
// a list that they may read anyway.
const cursorLen = 1 + 8 + crc32.Size

// firstPage is greater than every row's number.
const firstPage = math.MaxInt64

func cursor(list byte, last int64) string {
	b := make([]byte, 0, cursorLen)
	b = append(b, list)
	b = binary.BigEndian.AppendUint64(b, uint64(last)) //nolint:gosec // row numbers are positive
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor returns the number below which the page begins.
func parseCursor(list byte, text string) (int64, error) {
	if text == "" {
		return firstPage, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorLen || b[0] != list || strings.ContainsAny(text, "\r\n") { // it passes over line breaks
		return 0, keys.ErrBadCursor
	}
	body, sum := b[:cursorLen-crc32.Size], b[cursorLen-crc32.Size:]
	last := binary.BigEndian.Uint64(body[1:])
	if binary.BigEndian.Uint32(sum) != crc32.ChecksumIEEE(body) || last > math.MaxInt64 {
		return 0, keys.ErrBadCursor
	}
	return int64(last), nil
}
