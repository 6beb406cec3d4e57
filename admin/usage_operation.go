package admin

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/caddy-keywarden/keywarden/internal/permission"
)

func (a *api) usageOperations() []*operation {
	return []*operation{
		{
			method: http.MethodGet, path: "/v1/keys/{id}/usage", id: "getKeyUsage", tag: "Usage", summary: "Show how a key was used",
			description: "Requests of the key, by time and by what they were for. Without from, the last 24 hours, by the hour. " +
				"Minutes are kept for 2 days, hours for 14 days, days for as long as the configuration says (usage keep). Calls of this API are not counted.",
			access: permission.Read, query: append([]parameter{
				{"step", "How long a bucket is. Default: hour.", &huma.Schema{Type: huma.TypeString, Enum: []any{"minute", "hour", "day"}}},
			}, span()...),
			status: http.StatusOK, answer: reflect.TypeFor[KeyUsage](), errors: []*refusal{errNoSuchKey}, serve: a.keyUsage,
		}, {
			method: http.MethodPost, path: "/v1/keys/{id}/impact", id: "getKeyImpact", tag: "Usage", summary: "Show what a change of a key would have refused",
			description: "Of the requests of the last days that were let through. Changes nothing, so admin: read is enough.",
			access:      permission.Read, body: reflect.TypeFor[ImpactRequest](), maxBody: maxBody,
			status: http.StatusOK, answer: reflect.TypeFor[Impact](), errors: []*refusal{errNoSuchKey}, serve: a.impact,
		}, {
			method: http.MethodGet, path: "/v1/keys/{id}/suggestion", id: "getKeySuggestion", tag: "Usage", summary: "Suggest the smallest permissions that cover what a key did",
			description: "In the last days. What it will have to do tomorrow, and did not in this time, only people know.",
			access:      permission.Read, query: []parameter{daysBack()},
			status: http.StatusOK, answer: reflect.TypeFor[Suggestion](), errors: []*refusal{errNoSuchKey}, serve: a.suggestion,
		}, {
			method: http.MethodGet, path: "/v1/usage", id: "sumUsage", tag: "Usage", summary: "Show which APIs, owners or keys are used most",
			description: "By api and owner, deleted keys count too, for whom they belonged to at the time. Without from, the last 24 hours.",
			access:      permission.Read, query: append(append([]parameter{
				{"group_by", "What to add up by. Required.", &huma.Schema{Type: huma.TypeString, Enum: []any{"api", "owner", "key"}}},
			}, span()...), paging()[0]),
			status: http.StatusOK, answer: reflect.TypeFor[UsageSums](), serve: a.sumUsage,
		},
	}
}

func span() []parameter {
	return []parameter{
		{"from", "From when on, moved back to where a bucket begins.", timeSchema()},
		{"to", "Until when, moved on to where a bucket ends. Default: now.", timeSchema()},
	}
}

func daysBack() parameter {
	least, most := 1.0, 366.0
	return parameter{"days", "How many days back to look.", &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: defaultDays}}
}

func timeSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString, Format: "date-time"} }
