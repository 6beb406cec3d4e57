package caddymodule

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// openRequests are the allowed requests that are under way. A WebSocket or a
// stream of events may outlive what its key may do, so those that have gone on
// for a while are judged again when their key has changed, and when it
// expires; what is no longer allowed is cut off.
//
// Every request is in it, as nobody can tell beforehand which one will last.
// That costs it two locks that are hardly ever contended, and no allocation:
// what is kept of a request lies in its caller.
type openRequests struct {
	find   func(context.Context, *keys.Digest, time.Time) (*keys.Identity, gate.Found, error)
	shards [64]openShard
	wake   chan struct{}
	// ttl is after which time a key is looked at again without a change: what
	// bounds staleness while the change feed is cut.
	ttl atomic.Int64
}

// openShard holds the requests of a 64th of all secrets in a ring.
type openShard struct {
	mu   sync.Mutex
	ring openRequest
	// cut is signalled when a request has been cut off.
	cut sync.Cond
}

// openRequest is a request that is under way. The lock of its shard guards it.
type openRequest struct {
	next, prev *openRequest // nil while it is in no ring
	shard      *openShard
	w          http.ResponseWriter
	key        *keys.Identity
	claim      gate.Claim
	began      time.Time
	// asked is when the key was last looked up for it; zero: not yet.
	asked time.Time
	// upgrade says that it is no ordinary request, however young.
	upgrade bool
	// doubted says that its key may have changed since.
	doubted bool
	// cutting says that it is being cut off just now.
	cutting bool
}

const (
	// lookEvery is how often requests are looked at whose key has not changed:
	// it may have expired, or have changed just before the request came in.
	lookEvery = 500 * time.Millisecond
	// A request as young as this is left to end by itself, so that whoever
	// rotates a key does not break what is being answered.
	ordinaryAge = time.Second
)

func newOpenRequests(find func(context.Context, *keys.Digest, time.Time) (*keys.Identity, gate.Found, error)) *openRequests {
	o := &openRequests{find: find, wake: make(chan struct{}, 1)}
	for i := range o.shards {
		s := &o.shards[i]
		s.ring.next, s.ring.prev = &s.ring, &s.ring
		s.cut.L = &s.mu
	}
	return o
}

func (o *openRequests) shard(d *keys.Digest) *openShard { return &o.shards[d[len(d)-1]%64] }

// enter begins to watch a request that was allowed at now, of a client with the
// given address.
func (o *openRequests) enter(who *caller, w http.ResponseWriter, r *http.Request, d *gate.Decision, from string, now time.Time) *openRequest {
	request := &who.request
	if request.w != nil { // an earlier handler watches it, maybe for another key
		request = new(openRequest)
	}
	request.w, request.key, request.claim, request.began = w, d.Key, d.Claim(from), now
	request.upgrade = len(r.Header["Upgrade"]) > 0
	s := o.shard(&d.Key.Digest)
	request.shard = s
	s.mu.Lock()
	defer s.mu.Unlock()
	request.next, request.prev = s.ring.next, &s.ring
	s.ring.next.prev, s.ring.next = request, request
	return request
}

// leave ends what enter began; after it nobody touches the request's answer.
func (*openRequests) leave(request *openRequest) {
	s := request.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	request.prev.next, request.next.prev = request.next, request.prev
	request.next, request.prev = nil, nil
	for request.cutting {
		s.cut.Wait()
	}
}

// doubt has the requests with the given secrets judged again, soon.
func (o *openRequests) doubt(digests []keys.Digest) {
	for i := range digests {
		d := &digests[i]
		o.shard(d).each(func(request *openRequest) {
			request.doubted = request.doubted || request.key.Digest.Is(d)
		})
	}
	o.look()
}

// doubtAll has all requests judged again, soon.
func (o *openRequests) doubtAll() {
	for i := range o.shards {
		o.shards[i].each(func(request *openRequest) { request.doubted = true })
	}
	o.look()
}

// look wakes Run; it does not wait.
func (o *openRequests) look() {
	select {
	case o.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// askAfter sets the time after which keys are looked up again without a change.
func (o *openRequests) askAfter(ttl time.Duration) { o.ttl.Store(int64(max(ttl, lookEvery))) }

func (s *openShard) each(do func(*openRequest)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for request := s.ring.next; request != &s.ring; request = request.next {
		do(request)
	}
}

// Run watches until ctx ends.
func (o *openRequests) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-o.wake:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for i := range o.shards {
			o.round(ctx, &o.shards[i], time.Now())
		}
	}
}

// round judges those requests of a shard again that have to be.
func (o *openRequests) round(ctx context.Context, s *openShard, now time.Time) {
	var due []*openRequest
	s.each(func(request *openRequest) {
		if o.due(request, now) {
			request.doubted = false // until there is another change
			due = append(due, request)
		}
	})
	for _, request := range due {
		o.judge(ctx, s, request, now)
	}
}

// due says whether a request has to be judged again: whenever its key has
// changed, has expired, has not been looked at since the request began, or not
// for the cache's ttl.
func (o *openRequests) due(request *openRequest, now time.Time) bool {
	if !request.upgrade && now.Sub(request.began) < ordinaryAge {
		return false
	}
	return request.doubted || request.asked.IsZero() || now.Sub(request.asked) > time.Duration(o.ttl.Load()) ||
		!request.claim.HeldBy(request.key, now)
}

// judge looks a request's key up and cuts the request off if it may not go on.
// As long as the key can't be looked up it goes on, as other requests with
// that key do, and is judged in the next round.
func (o *openRequests) judge(ctx context.Context, s *openShard, request *openRequest, now time.Time) {
	// The digest and the claim of a request never change.
	key, _, err := o.find(ctx, &request.key.Digest, now)
	held := err == nil && request.claim.HeldBy(key, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if request.next == nil {
		return // it has ended
	}
	if held {
		request.key, request.asked = key, now
		return
	}
	request.doubted = true // to look again, whatever comes of this
	if err != nil && request.claim.HeldBy(request.key, now) {
		return
	}
	request.cutting = true
	s.mu.Unlock()
	cutOff(request.w)
	s.mu.Lock()
	request.cutting = false
	s.cut.Broadcast()
}

// cutOff ends a request from outside: deadlines that have passed end reading
// from the client and writing to it, by which net/http cancels the request,
// reverse_proxy closes a WebSocket, and HTTP/2 resets the one stream.
func cutOff(w http.ResponseWriter) {
	// It is not longAgo, by which net/http says that it is done with a request.
	passed, c := longAgo.Add(time.Second), http.NewResponseController(w)
	// A writer that knows no deadlines is no server's.
	_ = c.SetWriteDeadline(passed)
	_ = c.SetReadDeadline(passed)
}
