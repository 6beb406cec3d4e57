package admin

import "time"

// Recorded says what there is to know about usage at all.
type Recorded struct {
	Recording     bool       `json:"recording" doc:"Usage is counted. If not (usage off), what is told is of before."`
	RecordedSince *time.Time `json:"recorded_since" doc:"The first day of which there is any usage, of any key; null for none. Nothing is known of before."`
}

// KeyUsage is how a key was used.
type KeyUsage struct {
	From     time.Time `json:"from" doc:"Moved back to where a bucket begins."`
	To       time.Time `json:"to" doc:"Moved on to where a bucket ends."`
	Step     string    `json:"step" enum:"minute,hour,day"`
	Requests int64     `json:"requests" doc:"How many requests there were, allowed and refused."`
	Allowed  int64     `json:"allowed" doc:"Those that went on to the upstream."`
	Refused  int64     `json:"refused" doc:"Those that did not."`
	Lately   Lately    `json:"lately"`
	Recorded
	Series   []UsageBucket `json:"series" nullable:"false" doc:"Every bucket from from to to, also where nothing happened."`
	Uses     []UsedFor     `json:"uses" nullable:"false" doc:"What the requests were for, the most first; at most 1000."`
	MoreUses int           `json:"more_uses" doc:"How many there are beyond those listed."`
}

// Lately is how much a key was used of late, to the hour.
type Lately struct {
	Requests24h int64      `json:"requests_24h" doc:"Requests in the last 24 hours that were let through."`
	Requests7d  int64      `json:"requests_7d" doc:"Requests in the last 7 days that were let through."`
	LastUsedAt  *time.Time `json:"last_used_at" doc:"When the key was last used; null for never."`
}

// UsageBucket is how often a key was used within one step.
type UsageBucket struct {
	At      time.Time `json:"at" doc:"When the bucket begins. Days are those of UTC."`
	Allowed int64     `json:"allowed"`
	Refused int64     `json:"refused"`
}

// Target is what requests were for.
type Target struct {
	API            string `json:"api" example:"serverless" doc:"Empty where that was not decided, as for a disabled key or a path of no API."`
	Endpoint       string `json:"endpoint" example:"abc123" doc:"Empty for paths of the API that belong to none."`
	OtherEndpoints bool   `json:"other_endpoints" doc:"Stands for all endpoints beyond those that are counted one by one; endpoint is empty."`
	Access         string `json:"access" enum:"none,read,write" doc:"The access that was needed."`
}

// UsedFor is how often a key was used for one thing, and what became of it.
type UsedFor struct {
	Target
	Outcome  string    `json:"outcome" example:"allowed" doc:"allowed, or the code of the refusal; behind would_ where the gateway only reports (enforce off)."`
	Requests int64     `json:"requests"`
	LastAt   time.Time `json:"last_at"`
}

// UsageSums is the usage of all keys, added up.
type UsageSums struct {
	GroupBy string    `json:"group_by" enum:"api,owner,key"`
	From    time.Time `json:"from" doc:"Moved back to where an hour begins; a day, if there are more than 14 days to to, or from is longer ago."`
	To      time.Time `json:"to" doc:"Moved on likewise."`
	Recorded
	Data []UsageSum `json:"data" nullable:"false" doc:"Those that used most, first."`
}

// UsageSum is the usage of one API, owner or key.
type UsageSum struct {
	Name     string    `json:"name" doc:"Of the API, the owner, or the key. Empty: no API, nobody."`
	Key      *string   `json:"key" doc:"Id of the key, by key; else null."`
	Requests int64     `json:"requests"`
	Allowed  int64     `json:"allowed"`
	Refused  int64     `json:"refused"`
	LastAt   time.Time `json:"last_at"`
}

// ImpactRequest is a change that somebody thinks of.
type ImpactRequest struct {
	Permissions *Permissions `json:"permissions,omitempty" doc:"The permissions that the key would have."`
	Enabled     *bool        `json:"enabled,omitempty" doc:"false: the key would be disabled."`
	Delete      bool         `json:"delete,omitempty" doc:"true: the key would be deleted."`
	Days        int          `json:"days,omitempty" minimum:"1" maximum:"366" default:"30" doc:"How many days back to look."`
}

// Impact is what a change would have refused.
type Impact struct {
	Days          int        `json:"days"`
	From          time.Time  `json:"from" doc:"Where the first day begins, in UTC."`
	To            time.Time  `json:"to"`
	Requests      int64      `json:"requests" doc:"Requests that were let through."`
	Refused       int64      `json:"refused" doc:"How many of them the change would have refused."`
	LastRefusedAt *time.Time `json:"last_refused_at" doc:"When the last of them was made; null for none."`
	Lately        Lately     `json:"lately"`
	Recorded
	Uses     []ImpactOn `json:"uses" nullable:"false" doc:"What would have been refused, the most first; at most 1000."`
	MoreUses int        `json:"more_uses" doc:"How many there are beyond those listed."`
}

// ImpactOn is a use that a change would have refused.
type ImpactOn struct {
	Target
	Has      string    `json:"has" enum:"none,read,write" doc:"The access that the key would have there."`
	Code     string    `json:"code" example:"insufficient_access" doc:"Code of the refusal."`
	Requests int64     `json:"requests"`
	LastAt   time.Time `json:"last_at"`
}

// Suggestion is the smallest set of permissions that covers what a key did.
type Suggestion struct {
	Days int       `json:"days"`
	From time.Time `json:"from" doc:"Where the first day begins, in UTC."`
	To   time.Time `json:"to"`
	Recorded
	Requests    int64         `json:"requests" doc:"Requests that the suggestion goes by: those that were let through, and those that would have been refused for want of access where the gateway only reports."`
	Current     Permissions   `json:"current"`
	Permissions Permissions   `json:"permissions" doc:"What is suggested."`
	Smaller     bool          `json:"smaller" doc:"It is less than what the key has: something would be taken away, nothing added."`
	Reasons     []SuggestedOn `json:"reasons" nullable:"false" doc:"Why, by API."`
}

// SuggestedOn says why a key needs what is suggested on an API.
type SuggestedOn struct {
	API       string    `json:"api"`
	Access    string    `json:"access" enum:"none,read,write,restricted" doc:"restricted: by endpoint."`
	Endpoints int       `json:"endpoints" doc:"How many endpoints were used."`
	Requests  int64     `json:"requests"`
	LastAt    time.Time `json:"last_at"`
	Detail    string    `json:"detail" example:"only read, in 1204 requests for 3 endpoints"`
}
