package webhook

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const (
	// atOnce is how many messages are on their way to one endpoint.
	atOnce = 8
	// lookEvery is how often is looked for what other processes have changed,
	// and what other gateways left when they died; one's own changes are told
	// at once.
	lookEvery = 5 * time.Second
	// gap is what lies between two looks when there was little to send, so that
	// many changes in a row are told of together, and share the store with it.
	gap = 20 * time.Millisecond
	// busyPause is how long another gateway is given that makes the same
	// endpoint's deliveries at this moment.
	busyPause = 100 * time.Millisecond
	// leaseSlack is what an attempt may take besides waiting for the answer.
	leaseSlack = 5 * time.Second
	// settleTimeout bounds how long a stop waits to write down what was broken off.
	settleTimeout = 5 * time.Second
	// keep is how long deliveries are listed; changes that are older when they
	// are first looked at are told nobody.
	keep       = 30 * 24 * time.Hour
	pruneEvery = time.Hour
)

// Sender sends what its endpoints are to be told.
type Sender struct {
	outbox keys.Outbox
	client *http.Client
	now    func() time.Time
	// schedule is standardSchedule but in tests.
	schedule []time.Duration
	// Observe hears how each attempt ended; nil: nobody. Set it before Run.
	Observe func(e *Endpoint, d *keys.Delivery, r keys.DeliveryResult)

	mu      sync.Mutex
	wanted  []Endpoint
	since   time.Time
	changed chan struct{} // wanted has
	lines   atomic.Pointer[[]*line]
	pruned  time.Time
}

// New returns a sender without endpoints; Run makes it send.
func New(outbox keys.Outbox) *Sender {
	s := &Sender{outbox: outbox, client: newClient(), now: time.Now, schedule: standardSchedule, changed: make(chan struct{}, 1)}
	s.lines.Store(new([]*line))
	return s
}

// Configure says which endpoints there are, from now on. One that is new to the
// store is told of changes since then.
func (s *Sender) Configure(endpoints []Endpoint, since time.Time) {
	s.mu.Lock()
	s.wanted, s.since = slices.Clone(endpoints), since
	s.mu.Unlock()
	nudge(s.changed)
}

// Wake says that there is something to tell. It never waits.
func (s *Sender) Wake() {
	for _, l := range *s.lines.Load() {
		nudge(l.wake)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // somebody has
	}
}

// Run sends until ctx ends. What is under way then is broken off, and sent again
// by who comes next. report hears of each fault of the store.
func (s *Sender) Run(ctx context.Context, report func(error)) {
	var work sync.WaitGroup
	defer s.client.CloseIdleConnections()
	defer work.Wait()
	for {
		s.arrange(ctx, &work, report)
		timer := time.NewTimer(pruneEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// arrange gives each wanted endpoint a line, ends those that are not wanted any
// more, and forgets old deliveries.
func (s *Sender) arrange(ctx context.Context, work *sync.WaitGroup, report func(error)) {
	s.mu.Lock()
	wanted, since := s.wanted, s.since
	s.mu.Unlock()
	former := *s.lines.Load()
	lines := make([]*line, 0, len(wanted))
	for i := range wanted {
		id := wanted[i].ID()
		known := slices.IndexFunc(former, func(l *line) bool { return l.id == id })
		if known >= 0 {
			lines = append(lines, former[known])
			former[known].endpoint.Store(&wanted[i])
			continue
		}
		l := &line{sender: s, id: id, since: since, wake: make(chan struct{}, 1), report: report}
		l.endpoint.Store(&wanted[i])
		lineCtx, stop := context.WithCancel(ctx)
		l.stop = stop
		lines = append(lines, l)
		work.Go(func() { l.run(lineCtx) })
	}
	s.lines.Store(&lines)
	for _, l := range former {
		if !slices.Contains(lines, l) {
			l.stop()
		}
	}
	if len(lines) > 0 {
		s.prune(ctx, report)
	}
}

func (s *Sender) prune(ctx context.Context, report func(error)) {
	now := s.now()
	if now.Sub(s.pruned) < pruneEvery {
		return
	}
	s.pruned = now
	if err := s.outbox.PruneDeliveries(ctx, now.Add(-keep)); err != nil && ctx.Err() == nil {
		report(err)
	}
}

// line sends to one endpoint, so that one that hangs holds up no other.
type line struct {
	sender   *Sender
	id       string
	since    time.Time
	endpoint atomic.Pointer[Endpoint] // of the latest configuration
	known    bool                     // to the store
	wake     chan struct{}
	stop     context.CancelFunc
	report   func(error)
}

func (l *line) run(ctx context.Context) {
	defer l.stop()
	for ctx.Err() == nil {
		wait, err := l.round(ctx)
		if err != nil {
			wait = lookEvery
			if ctx.Err() == nil {
				l.report(err)
			}
		}
		timer := time.NewTimer(min(wait, lookEvery))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.wake:
		}
		timer.Stop()
	}
}

// round sends what is due, and returns when to look again.
func (l *line) round(ctx context.Context) (time.Duration, error) {
	outbox := l.sender.outbox
	if !l.known {
		if err := outbox.Subscribe(ctx, l.id, l.since); err != nil {
			return 0, err
		}
		l.known = true
	}
	for ctx.Err() == nil {
		due, err := outbox.Due(ctx, l.id)
		if errors.Is(err, keys.ErrNoSuchWebhook) { // another database took this one's place
			l.known = false
		}
		switch {
		case err != nil:
			return 0, err
		case due.Behind:
			err = l.enqueue(ctx)
		case !due.Waits:
			return lookEvery, nil
		case due.After > 0:
			return due.After, nil
		}
		if err != nil {
			return 0, err
		}
		sent, err := l.send(ctx)
		if err != nil {
			return 0, err
		}
		switch {
		case sent == 0:
			return busyPause, nil
		case sent < atOnce:
			pause(ctx, gap)
		}
	}
	return 0, nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// enqueue makes what deliveries there are to be made.
func (l *line) enqueue(ctx context.Context) error {
	for more := true; more; {
		var err error
		more, err = l.sender.outbox.Enqueue(ctx, l.id, l.endpoint.Load().actions(), l.sender.now().Add(-keep))
		if err != nil {
			return err
		}
	}
	return nil
}

// send sends some of what is due, and returns how much it was. What
// has come to its end while others are under way is written down together: with
// many messages, a change of a key has not to wait for each.
func (l *line) send(ctx context.Context) (int, error) {
	e := l.endpoint.Load()
	claimed, err := l.sender.outbox.Claim(ctx, l.id, e.Timeout+leaseSlack, atOnce)
	if err != nil {
		return 0, err
	}
	ended := make(chan keys.Settled, len(claimed))
	for i := range claimed {
		go func() { ended <- keys.Settled{Delivery: &claimed[i], Result: l.sender.attempt(ctx, e, &claimed[i])} }()
	}
	var faults []error
	for left := len(claimed); left > 0; {
		some := []keys.Settled{<-ended}
		for more := true; more; {
			select {
			case one := <-ended:
				some = append(some, one)
			default:
				more = false
			}
		}
		left -= len(some)
		faults = append(faults, l.sender.settle(ctx, e, some))
	}
	return len(claimed), errors.Join(faults...)
}

// settle writes down how attempts ended. If that can't be written, the messages
// are sent again when their lease is over.
func (s *Sender) settle(ctx context.Context, e *Endpoint, some []keys.Settled) error {
	if s.Observe != nil {
		for _, one := range some {
			s.Observe(e, one.Delivery, one.Result)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return s.outbox.Settle(ctx, some...)
}
