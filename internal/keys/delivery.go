package keys

import (
	"context"
	"errors"
	"time"
)

// Errors of an Outbox on which callers act.
var (
	// ErrNoSuchWebhook: no webhook has this id; Subscribe makes it known.
	ErrNoSuchWebhook = errors.New("no such webhook")
	// ErrNoSuchDelivery: no delivery has this id, or it is so old that it was forgotten.
	ErrNoSuchDelivery = errors.New("no such delivery")
)

// DeliveryState is what became of a delivery.
type DeliveryState string

// The states of deliveries.
const (
	Pending   DeliveryState = "pending"   // to be sent, or sent again
	Delivered DeliveryState = "delivered" // the receiver has taken it
	Failed    DeliveryState = "failed"    // given up
)

// Delivery is that one webhook is told of one change, as the audit has it.
type Delivery struct {
	ID      string // the message's; the same in every attempt
	Webhook string // id of the webhook
	Event   string // what the webhook calls the change
	// Entry is the change. Before and After are there only in what Claim returns.
	Entry    AuditEntry
	State    DeliveryState
	Attempts int // begun so far
	// LastStatus and LastError say how the last attempt ended: what the receiver
	// answered, 0 for nothing, and what was wrong with it.
	LastStatus int
	LastError  string
	LastAt     time.Time // zero: none was begun
	NextAt     time.Time // of a pending one; zero for the others
}

// DeliveryResult is how an attempt ended.
type DeliveryResult struct {
	State  DeliveryState
	Status int
	Error  string
	After  time.Duration // when a pending one is to be sent again, from now on
}

// Settled is an attempt, as Claim began it, and how it ended.
type Settled struct {
	*Delivery
	Result DeliveryResult
}

// Due is what there is to do for a webhook.
type Due struct {
	Behind bool          // there is something in the audit to make deliveries of
	Waits  bool          // deliveries are pending
	After  time.Duration // when the first of them is due; 0: now
}

// DeliveryQuery selects deliveries. Zero fields select everything.
type DeliveryQuery struct {
	Webhook string
	State   DeliveryState
	Event   string
	Key     ID
	Limit   int // 1 to 200
	Cursor  string
}

// Outbox is the part of a Store that webhooks are sent by. What a webhook is to
// be told of is read from the audit, behind the place up to which it was read
// before: whatever is in the audit, which a change writes in its own
// transaction, is told of, whoever dies in between. Times are the store's own,
// so that nodes need not agree on one.
type Outbox interface {
	// Subscribe makes a webhook known: it is told of what enters the audit from
	// since on. One that is known keeps its place.
	Subscribe(ctx context.Context, webhook string, since time.Time) error
	// Enqueue makes pending deliveries of some of the audit's entries behind the
	// webhook's place, and says whether there may be more. events are what
	// the webhook wants to hear of, by the audit's action; entries from before
	// oldest are passed over. Of several nodes at once, one does it.
	Enqueue(ctx context.Context, webhook string, events map[string]string, oldest time.Time) (more bool, err error)
	// Claim takes up to limit deliveries that are due, those that have waited
	// longest first, and counts an attempt of each. They are nobody else's for
	// the time of the lease, and after that due again, unless Settle came first.
	Claim(ctx context.Context, webhook string, lease time.Duration, limit int) ([]Delivery, error)
	// Settle writes down how attempts ended that Claim began, all or none. One
	// whose lease has ended, so that another node has begun a further one, is
	// passed over.
	Settle(ctx context.Context, all ...Settled) error
	// Due says what there is to do. It only reads.
	Due(ctx context.Context, webhook string) (Due, error)
	// Deliveries returns a page of deliveries, newest first, and the next cursor.
	Deliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, string, error)
	// Redeliver makes a delivery due now, whatever became of it, unless it is
	// being sent at this moment.
	Redeliver(ctx context.Context, id string) (*Delivery, error)
	// PruneDeliveries forgets deliveries of changes from before the given time.
	PruneDeliveries(ctx context.Context, before time.Time) error
}
