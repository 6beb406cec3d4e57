package gate

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// slowBody never ends within the time it is given.
type slowBody struct{ given time.Duration }

func (b *slowBody) Within(d time.Duration) func() bool {
	b.given = d
	return func() bool { return false }
}

func (*slowBody) Read([]byte) (int, error) { return 0, errors.New("the connection's deadline") }
func (*slowBody) Close() error             { return nil }

func TestABodyThatDecidesHasATimeByItsLimit(t *testing.T) {
	for limit, want := range map[int64]time.Duration{
		-1: 30 * time.Second, 0: 30 * time.Second, 64 << 10: 31 * time.Second, 1 << 20: 46 * time.Second, 100 << 20: 1630 * time.Second,
	} {
		body := new(slowBody)
		r := &http.Request{Method: "POST", Body: body, ContentLength: -1}
		_, outcome, reason := readBody(r, limit)
		if outcome != UnreadableBody || reason != "the body, which must be read to decide what it needs, has not come within "+want.String() || body.given != want {
			t.Errorf("limit %d: %s, %q, given %s; want %s", limit, outcome, reason, body.given, want)
		}
	}
}

func TestWhatIsNotReadIsGivenNoTime(t *testing.T) {
	b := newBench(t, testOptions)
	_, secret := b.create(t, func(k *keys.Key) { k.Enabled = false })
	g := b.gate(t, contractConfig(), Credentials{Headers: []string{"X-API-Key"}})
	r := request("POST", "/graphql", "", "X-API-Key", secret.Reveal())
	body := new(slowBody)
	r.Body, r.ContentLength = io.ReadCloser(body), -1
	if d := g.Decide(r, time.Now()); d.Outcome != DisabledKey || body.given != 0 {
		t.Errorf("%s, given %s", d.Outcome, body.given)
	}
}
