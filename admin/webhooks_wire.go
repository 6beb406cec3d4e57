package admin

import "time"

// WebhookList is the answer of GET /v1/webhooks.
type WebhookList struct {
	Data []Webhook `json:"data" nullable:"false"`
}

// Webhook is an endpoint that the configuration names.
type Webhook struct {
	ID             string   `json:"id" example:"wh_9f86d081884c7d65" doc:"Made of its URL: another URL is another webhook."`
	Host           string   `json:"host" example:"hooks.example.com" doc:"Where messages go. The rest of the URL is not shown: there may be a token in it."`
	Events         []string `json:"events" nullable:"false" doc:"What it is told."`
	TimeoutSeconds float64  `json:"timeout_seconds" doc:"How long it may take to answer."`
}

// DeliveryList is a page of deliveries, newest first.
type DeliveryList struct {
	Data       []Delivery `json:"data" nullable:"false"`
	NextCursor *string    `json:"next_cursor" doc:"Give it as cursor to get the next page; null on the last."`
}

// Delivery is that one webhook is told of one change.
type Delivery struct {
	ID            string     `json:"id" example:"msg_9f86d081884c7d659a2feaa0c55ad015" doc:"The header webhook-id of the message, the same in every attempt."`
	Webhook       string     `json:"webhook" doc:"Id of the webhook, which may not be configured any more."`
	Event         string     `json:"event" enum:"api_key_created,api_key_updated,api_key_deleted,api_key_leaked"`
	At            time.Time  `json:"at" doc:"When the change was made."`
	Key           string     `json:"key" doc:"Id of the key that was changed."`
	Action        string     `json:"action" doc:"What was done, in the audit's word."`
	Audit         string     `json:"audit" doc:"Id of the change in the audit."`
	State         string     `json:"state" enum:"pending,delivered,failed" doc:"pending: to be sent, or sent again; failed: given up."`
	Attempts      int        `json:"attempts" doc:"How many were begun."`
	LastStatus    *int       `json:"last_status" doc:"What the receiver answered to the last one; null if it did not."`
	LastError     *string    `json:"last_error" doc:"What was wrong with the last one; null for nothing."`
	LastAttemptAt *time.Time `json:"last_attempt_at"`
	NextAttemptAt *time.Time `json:"next_attempt_at" doc:"Null unless pending."`
}
