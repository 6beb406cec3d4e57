package sqlite

import (
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/internal/store/sqlstore"
)

func TestTokensAreOnlyHexadecimal(t *testing.T) {
	for _, text := range []string{`a"b" OR c*`, "🔑日本", "\x00\x01\x02", "x\xffy", `^{}():'\`} {
		for _, token := range tokens(sqlstore.GramsToKeep(text)) {
			if strings.Trim(token, "0123456789abcdef") != "" {
				t.Errorf("%q has the token %q", text, token)
			}
		}
	}
}
