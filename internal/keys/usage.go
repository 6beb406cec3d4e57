package keys

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// OutcomeAllowed is the outcome of requests that went on to the upstream; every
// other one is the code of a refusal.
const OutcomeAllowed = "allowed"

// OtherEndpoints stands for all endpoints beyond those that are counted one by
// one: callers choose what is captured from a path, and could else fill the
// store. It can't be an endpoint's id, which has no slash.
const OtherEndpoints = "/"

// What is what requests of a key were for, and what became of them.
type What struct {
	// API is "" where that was not decided, as for a disabled key.
	API string
	// Endpoint is "" for paths of the API that belong to none.
	Endpoint string
	Access   permission.Access // that was needed
	Outcome  string
}

// Tally holds the counts of a key since the last flush, but for the one that its
// Identity has room for. The first few are found without a lock: most keys do
// the same few things all day.
type Tally struct {
	One   Tallied                    // what First begins with, in the same block of memory
	First [8]atomic.Pointer[Tallied] // those that are not nil come first
	Mu    sync.RWMutex
	More  map[What]*Tallied
}

// Tallied is one count.
type Tallied struct {
	What
	N    atomic.Int64
	Last atomic.Int64 // when it was counted last, in Unix milliseconds
}

// Step is the length of the buckets in which uses are counted, in seconds.
type Step int64

// The steps. Days are those of UTC.
const (
	Minute Step = 60
	Hour   Step = 3600
	Day    Step = 86400
)

// Steps are all of them.
var Steps = [...]Step{Minute, Hour, Day}

// Duration returns the step as a duration.
func (s Step) Duration() time.Duration { return time.Duration(s) * time.Second }

// Floor returns the beginning of the bucket that holds t.
func (s Step) Floor(t time.Time) time.Time {
	ms := t.UnixMilli()
	return time.UnixMilli(ms - ms%s.Duration().Milliseconds()).UTC()
}

// Used is how often a key was used for one thing, within one minute.
type Used struct {
	Key ID
	What
	N      int64
	LastAt time.Time // says the minute, too
}

// UsageBatch is what a node has counted since its last batch.
type UsageBatch struct {
	// Writer names who counts, anew at each start, and Number the batch, each
	// higher than the one before: a batch that comes again is not counted again.
	Writer string
	Number int64
	Used   []Used
}

// UsageQuery asks for one key's usage from From to To, both moved outwards to
// where buckets of Step begin.
type UsageQuery struct {
	Key      ID
	Step     Step
	From, To time.Time
}

// Usage is how a key was used.
type Usage struct {
	// Buckets are those in which there was any use, in their order.
	Buckets []UsageBucket
	// Uses are what it was used for, by API, endpoint, access and outcome.
	Uses []UsageOf
	// Since is the first day of which anything is known, of any key; zero if
	// nothing is.
	Since time.Time
}

// UsageBucket is how often a key was used within one step.
type UsageBucket struct {
	At               time.Time
	Allowed, Refused int64
}

// UsageOf is how often a key was used for one thing, and when last.
type UsageOf struct {
	What
	N      int64
	LastAt time.Time
}

// UsageGroup says what usage is added up by.
type UsageGroup string

// The groups. The first two count deleted keys, and an owner's are those of the
// keys that were theirs at the time; the third does not show deleted keys.
const (
	ByAPI   UsageGroup = "api"
	ByOwner UsageGroup = "owner"
	ByKey   UsageGroup = "key"
)

// UsageSumQuery asks for the usage of all keys, added up: the groups that used
// most. From and To are moved outwards to where buckets of Step begin, which is
// Hour or Day.
type UsageSumQuery struct {
	Group    UsageGroup
	Step     Step
	From, To time.Time
	Limit    int
}

// UsageSums are the groups that used most, those first.
type UsageSums struct {
	Groups []UsageSum
	Since  time.Time // as in Usage
}

// UsageSum is the usage of one group.
type UsageSum struct {
	Name             string // of the API, the owner, or the key
	Key              ID     // with ByKey
	Allowed, Refused int64
	LastAt           time.Time
}

// UsageKeep says how long usage is kept, by step.
type UsageKeep map[Step]time.Duration

// MaxUsesADay is how many things one key may do on a day that are told apart.
const MaxUsesADay = 2000
