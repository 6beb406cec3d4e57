package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// The collectors live as long as the process, so that a reload does not set
// counters back; each configuration registers them in its own registry. No
// label holds a key, an endpoint or a path: their values are bounded by the
// configuration.
var (
	requestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddy_api_key_auth_requests_total",
		Help: "Requests judged, by API, access needed and outcome.",
	}, []string{"api", "access", "outcome"})
	cacheTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddy_api_key_auth_cache_total",
		Help: "Keys looked up, by where they were found: hit, miss, unknown, stale.",
	}, []string{"result"})
	storeSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "caddy_api_key_auth_store_seconds",
		Help:    "Duration of look-ups in the key store.",
		Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2},
	})
	changeLagSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "caddy_api_key_auth_change_lag_seconds",
		Help:    "Age of changes when the feed applied them on this node.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 60},
	})
	storeErrorsTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "caddy_api_key_auth_store_errors_total",
		Help: "Calls of the key store that failed: look-ups, the change feed, usage, news of other nodes.",
	})
	adminRequestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddy_api_key_admin_requests_total",
		Help: "Requests to the admin API and the console, by status of the answer.",
	}, []string{"status"})
	webhookAttemptsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "caddy_api_key_auth_webhook_attempts_total",
		Help: "Messages sent to webhooks, by what became of them: delivered, pending (sent again later), failed (given up).",
	}, []string{"result"})
	feedConnected = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "caddy_api_key_auth_feed_connected",
		Help: "1 while this process hears of changes of keys that other nodes make, else 0.",
	}, feedState)
	keyStates = &keyStateCollector{desc: prometheus.NewDesc(
		"caddy_api_key_auth_key_state", "Keys in the store, by state.", []string{"state"}, nil)}

	webhookAttempts = func() map[keys.DeliveryState]prometheus.Counter {
		counters := map[keys.DeliveryState]prometheus.Counter{}
		for _, state := range []keys.DeliveryState{keys.Delivered, keys.Pending, keys.Failed} {
			counters[state] = webhookAttemptsTotal.WithLabelValues(string(state))
		}
		return counters
	}()

	cacheCounters = func() (counters [gate.Stale + 1]prometheus.Counter) {
		for found := range counters {
			counters[found] = cacheTotal.WithLabelValues(gate.Found(found).String())
		}
		return counters
	}()
)

// registerMetrics registers the collectors in a configuration's registry.
func registerMetrics(registry *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{
		requestsTotal, cacheTotal, storeSeconds, storeErrorsTotal, changeLagSeconds, feedConnected, adminRequestsTotal, webhookAttemptsTotal, keyStates,
	} {
		var already prometheus.AlreadyRegisteredError
		if err := registry.Register(c); err != nil && !errors.As(err, &already) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// wouldCodes are the outcomes of a gateway that lets everything pass: refusals
// are what would have been.
var wouldCodes = func() (codes [gate.Outcomes]string) {
	for outcome := range gate.Outcomes {
		codes[outcome] = "would_" + outcome.Code()
	}
	codes[gate.Allowed] = gate.Allowed.Code()
	return codes
}()

// codeOf is an outcome as metrics, usage and traces name it.
func codeOf(o gate.Outcome, reports bool) string {
	if reports {
		return wouldCodes[o]
	}
	return o.Code()
}

// apiCounters are the request counters of one API, found once: looking one up
// by its labels costs 50 times as much as counting.
type apiCounters struct {
	api string
	// reports says that refusals are counted as what would have been.
	reports bool
	cells   [permission.Write + 1][gate.Outcomes]atomic.Pointer[prometheus.Counter]
}

// add counts one decision. Counters come into being when they first count:
// most of the table is never used.
func (c *apiCounters) add(access permission.Access, outcome gate.Outcome) {
	cell := &c.cells[access][outcome]
	counter := cell.Load()
	if counter == nil {
		made := requestsTotal.WithLabelValues(c.api, access.String(), codeOf(outcome, c.reports))
		counter = &made
		cell.Store(counter)
	}
	(*counter).Inc()
}

// changes applies changes that the feed brings, and measures how late it is.
type changes struct{ *engine }

// Reset implements feed.Sink.
func (c changes) Reset() {
	c.lookup.Reset()
	c.open.doubtAll()
}

// Apply implements feed.Sink.
func (c changes) Apply(change keys.Change) {
	c.apply(change)
	changeLagSeconds.Observe(max(0, time.Since(change.At)).Seconds())
}

// openEngines enters a call of each engine that still takes calls. They are
// listed first and asked then: asking a store under the pool's lock would hold
// up a reload.
func openEngines() (open []*engine) {
	engines.Range(func(_, value any) bool {
		if e, ok := value.(*engine); ok && e.calls.enter() {
			open = append(open, e)
		}
		return true
	})
	return open
}

// feedState is 1 if there is a store to follow, and all are followed.
func feedState() float64 {
	open := openEngines()
	connected := len(open) > 0
	for _, e := range open {
		connected = connected && e.feed.Connected()
		e.calls.leave()
	}
	if connected {
		return 1
	}
	return 0
}

// keyStateCollector counts keys when somebody asks. Counting reads the whole
// table, so that many scrapes share an answer.
type keyStateCollector struct {
	desc *prometheus.Desc
	last atomic.Pointer[stateCounts]
}

type stateCounts struct {
	at     time.Time
	counts keys.Counts
}

const (
	stateAge     = 10 * time.Second
	stateTimeout = 2 * time.Second
)

// Describe implements prometheus.Collector.
func (c *keyStateCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. While a store can't be asked its
// keys are left out: no number is better than a wrong one.
func (c *keyStateCollector) Collect(out chan<- prometheus.Metric) {
	counts, ok := c.count(time.Now())
	if !ok {
		return
	}
	for _, s := range []struct {
		status keys.Status
		n      int64
	}{{keys.Active, counts.Active}, {keys.Disabled, counts.Disabled}, {keys.Expired, counts.Expired}} {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(s.n), string(s.status))
	}
}

func (c *keyStateCollector) count(now time.Time) (keys.Counts, bool) {
	if last := c.last.Load(); last != nil && now.Sub(last.at) < stateAge {
		return last.counts, true
	}
	open := openEngines()
	var sum keys.Counts
	complete := len(open) > 0
	for _, e := range open {
		ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
		counts, err := e.store.Counts(ctx, now)
		cancel()
		e.calls.leave()
		if err != nil {
			e.fault("counting keys")(err)
			complete = false
		}
		sum.Active += counts.Active
		sum.Disabled += counts.Disabled
		sum.Expired += counts.Expired
	}
	if complete {
		c.last.Store(&stateCounts{at: now, counts: sum})
	}
	return sum, complete
}
