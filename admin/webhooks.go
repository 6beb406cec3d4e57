package admin

import (
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

var errNoSuchDelivery = refuse(http.StatusNotFound, "no_such_delivery", "No such delivery",
	"no delivery has this id; deliveries are kept for 30 days")

func (a *api) webhookOperations() []*operation {
	return []*operation{
		{
			method: http.MethodGet, path: "/v1/webhooks", id: "listWebhooks", tag: "Webhooks", summary: "List the webhooks of the configuration",
			description: "Those of this gateway. They can be changed in its configuration alone; secrets, and paths of URLs, are not shown.",
			access:      permission.Read, status: http.StatusOK, answer: reflect.TypeFor[WebhookList](), serve: a.listWebhooks,
		}, {
			method: http.MethodGet, path: "/v1/webhooks/deliveries", id: "listDeliveries", tag: "Webhooks", summary: "List what webhooks were told, newest first",
			description: "For 30 days: what is to be sent, what was taken and what has failed, by whichever gateway on the store.",
			access:      permission.Read, query: deliveryFilters(),
			status: http.StatusOK, answer: reflect.TypeFor[DeliveryList](), serve: a.listDeliveries,
		}, {
			method: http.MethodPost, path: "/v1/webhooks/deliveries/{id}/retry", id: "retryDelivery", tag: "Webhooks", summary: "Send a message again, now",
			description: "Whatever became of it; as the same message, with the same webhook-id. One that is being sent at this moment is not sent twice.",
			access:      permission.Write, status: http.StatusOK, answer: reflect.TypeFor[Delivery](),
			errors: []*refusal{errNoSuchDelivery}, serve: a.retryDelivery,
		},
	}
}

func deliveryFilters() []parameter {
	events := &huma.Schema{Type: huma.TypeString}
	for _, name := range keys.ChangeEvents {
		events.Enum = append(events.Enum, name)
	}
	return append([]parameter{
		{"webhook", "Only those to the webhook with this id.", textSchema(maxEndpointID)},
		{"state", "Only those in this state.", &huma.Schema{Type: huma.TypeString, Enum: []any{"pending", "delivered", "failed"}}},
		{"event", "Only those of this event.", events},
		{"key", "Only those about the key with this id.", textSchema(maxEndpointID)},
	}, paging()...)
}

// listWebhooks is GET /v1/webhooks.
func (a *api) listWebhooks(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	list := WebhookList{Data: a.Webhooks}
	if list.Data == nil {
		list.Data = []Webhook{}
	}
	return list, nil
}

// listDeliveries is GET /v1/webhooks/deliveries.
func (a *api) listDeliveries(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	page, next, err := a.Store.Deliveries(c.ctx, keys.DeliveryQuery{
		Webhook: c.query["webhook"], State: keys.DeliveryState(c.query["state"]), Event: c.query["event"], Key: keys.ID(c.query["key"]),
		Limit: c.query.limit(), Cursor: c.query["cursor"],
	})
	if err != nil {
		return nil, c.cursorFault(err)
	}
	list := DeliveryList{Data: make([]Delivery, len(page)), NextCursor: orNull(next)}
	for i := range page {
		list.Data[i] = showDelivery(&page[i])
	}
	return list, nil
}

// retryDelivery is POST /v1/webhooks/deliveries/{id}/retry.
func (a *api) retryDelivery(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	d, err := a.Store.Redeliver(c.ctx, c.path["id"])
	if errors.Is(err, keys.ErrNoSuchDelivery) {
		return nil, errNoSuchDelivery
	}
	if err != nil {
		return nil, err
	}
	if a.Redelivered != nil {
		a.Redelivered()
	}
	return showDelivery(d), nil
}

func showDelivery(d *keys.Delivery) Delivery {
	out := Delivery{
		ID: d.ID, Webhook: d.Webhook, Event: d.Event, At: d.Entry.At.UTC(), Key: string(d.Entry.Key), Action: d.Entry.Action, Audit: d.Entry.ID,
		State: string(d.State), Attempts: d.Attempts, LastError: orNull(d.LastError), LastAttemptAt: timeOrNull(d.LastAt), NextAttemptAt: timeOrNull(d.NextAt),
	}
	if d.LastStatus != 0 {
		out.LastStatus = &d.LastStatus
	}
	return out
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
