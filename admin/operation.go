package admin

import (
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

// operation is one call of the API: what serves it and what the OpenAPI
// document says of it, in one place so that they can't drift apart.
type operation struct {
	method, path string
	id           string // operationId
	tag          string
	summary      string
	description  string

	access permission.Access // that the caller needs; None: no key at all
	query  []parameter

	body         reflect.Type // nil: a body is not looked at
	optionalBody bool
	maxBody      int64        // bytes
	schema       *huma.Schema // of the body; made of its type

	status  int
	answer  reflect.Type // nil: none
	headers []string     // of the answer
	ifMatch bool         // If-Match is looked at
	prefers bool         // Prefer: wait is looked at
	errors  []*refusal   // besides those that every call has
	// turn, if set, says whether the caller may ask now, before anything of
	// the request is read.
	turn func(*call) error
	// vouched, if set, says whether the body comes from whom it must.
	vouched func(r *http.Request, body []byte) error

	serve func(*call) (any, error)
}

const (
	maxBody       = 256 << 10
	maxImportBody = 8 << 20
)

func (o *operation) maxTime() time.Duration {
	if o.maxBody > maxBody {
		return maxImportTime
	}
	return maxTime
}

// operations are the rows of the contract's section 6.
func (a *api) operations() []*operation {
	return slices.Concat(a.keyOperations(), a.usageOperations(), a.otherOperations(), a.webhookOperations(), a.leakOperations(), a.healthOperations())
}

func (a *api) keyOperations() []*operation {
	return []*operation{
		{
			method: http.MethodPost, path: "/v1/keys", id: "createKey", tag: "Keys", summary: "Create a key",
			description: "The answer holds the key's secret, this once. Store it where the caller of your API needs it.",
			access:      permission.Write, body: reflect.TypeFor[CreateRequest](), maxBody: maxBody,
			status: http.StatusCreated, answer: reflect.TypeFor[KeyWithSecret](), headers: []string{"Location", "ETag"},
			serve: a.createKey,
		}, {
			method: http.MethodGet, path: "/v1/keys", id: "listKeys", tag: "Keys", summary: "List keys, newest first",
			access: permission.Read, query: keyFilters(),
			status: http.StatusOK, answer: reflect.TypeFor[KeyList](), serve: a.listKeys,
		}, {
			method: http.MethodPost, path: "/v1/keys/import", id: "importKeys", tag: "Keys", summary: "Import keys of another system",
			description: "All of the keys are stored, or none. Answers 409 if a secret is known already, or stands in the list twice.",
			access:      permission.Write, body: reflect.TypeFor[ImportRequest](), maxBody: maxImportBody,
			status: http.StatusCreated, answer: reflect.TypeFor[ImportAnswer](), errors: []*refusal{knownSecret(&faults{byField: map[string]string{"keys[3].secret": "is known already"}})},
			serve: a.importKeys,
		}, {
			method: http.MethodPost, path: "/v1/keys/check", id: "checkKey", tag: "Keys", summary: "Check what the gateway would decide",
			description: "Changes nothing, so admin: read is enough. A request whose access depends on its body is judged as a write.",
			access:      permission.Read, body: reflect.TypeFor[CheckRequest](), maxBody: maxBody,
			status: http.StatusOK, answer: reflect.TypeFor[CheckAnswer](), errors: []*refusal{errNoSuchKey}, serve: a.checkKey,
		}, {
			method: http.MethodGet, path: "/v1/keys/{id}", id: "getKey", tag: "Keys", summary: "Get a key",
			access: permission.Read, status: http.StatusOK, answer: reflect.TypeFor[Key](), headers: []string{"ETag"},
			errors: []*refusal{errNoSuchKey}, serve: a.getKey,
		}, {
			method: http.MethodPatch, path: "/v1/keys/{id}", id: "patchKey", tag: "Keys", summary: "Change a key",
			description: "A JSON merge patch (RFC 7396): what is left out stays. permissions is replaced whole, metadata pair by pair. The change holds for the very next request.",
			access:      permission.Write, body: reflect.TypeFor[Patch](), maxBody: maxBody, ifMatch: true, prefers: true,
			status: http.StatusOK, answer: reflect.TypeFor[Key](), headers: []string{"ETag"},
			errors: []*refusal{errNoSuchKey, errVersion, errLastAdmin}, serve: a.patchKey,
		}, {
			method: http.MethodDelete, path: "/v1/keys/{id}", id: "deleteKey", tag: "Keys", summary: "Delete a key",
			description: "Its secrets are refused from the very next request on.",
			access:      permission.Write, ifMatch: true, prefers: true, status: http.StatusNoContent,
			errors: []*refusal{errNoSuchKey, errVersion, errLastAdmin}, serve: a.deleteKey,
		}, {
			method: http.MethodPost, path: "/v1/keys/{id}/rotate", id: "rotateKey", tag: "Keys", summary: "Give a key a new secret",
			description: "The answer holds the new secret, this once. The earlier one works until the grace ends; one that was in its grace already ends at once.",
			access:      permission.Write, body: reflect.TypeFor[RotateRequest](), optionalBody: true, maxBody: maxBody, ifMatch: true, prefers: true,
			status: http.StatusOK, answer: reflect.TypeFor[KeyWithSecret](), headers: []string{"ETag"},
			errors: []*refusal{errNoSuchKey, errVersion}, serve: a.rotateKey,
		},
	}
}

func (a *api) otherOperations() []*operation {
	return []*operation{
		{
			method: http.MethodGet, path: "/v1/apis", id: "listAPIs", tag: "APIs", summary: "List the declared APIs",
			description: "Those that this gateway declares, and those that other gateways on the same store declare.",
			access:      permission.Read, status: http.StatusOK, answer: reflect.TypeFor[APIList](), serve: a.listAPIs,
		}, {
			method: http.MethodPut, path: "/v1/apis/{api}/endpoints/{endpoint}", id: "putEndpoint", tag: "APIs", summary: "Register an endpoint",
			description: "So that consoles can list it; it grants nothing, and endpoints work without it.",
			access:      permission.Write, body: reflect.TypeFor[EndpointRequest](), maxBody: maxBody,
			status: http.StatusOK, answer: reflect.TypeFor[EndpointInfo](), errors: []*refusal{errNoSuchAPI}, serve: a.putEndpoint,
		}, {
			method: http.MethodDelete, path: "/v1/apis/{api}/endpoints/{endpoint}", id: "deleteEndpoint", tag: "APIs", summary: "Forget a registered endpoint",
			access: permission.Write, status: http.StatusNoContent, errors: []*refusal{errNoSuchEndpoint}, serve: a.deleteEndpoint,
		}, {
			method: http.MethodGet, path: "/v1/audit", id: "listAudit", tag: "Audit", summary: "List who changed what, newest first",
			access: permission.Read, query: auditFilters(),
			status: http.StatusOK, answer: reflect.TypeFor[AuditList](), serve: a.listAudit,
		}, {
			method: http.MethodGet, path: "/v1/nodes", id: "listNodes", tag: "Admin", summary: "List the gateways on the store",
			description: "How far each has come with the changes of keys. A change with Prefer: wait=N waits until every one has applied it.",
			access:      permission.Read, status: http.StatusOK, answer: reflect.TypeFor[NodeList](), serve: a.listNodes,
		}, {
			method: http.MethodGet, path: "/v1/whoami", id: "whoami", tag: "Admin", summary: "Show the admin key in use",
			access: permission.Read, status: http.StatusOK, answer: reflect.TypeFor[Whoami](), headers: []string{"ETag"}, serve: a.whoami,
		},
	}
}

func (a *api) healthOperations() []*operation {
	return []*operation{
		{
			method: http.MethodGet, path: "/healthz", id: "healthz", tag: "Health", summary: "Is the process alive?",
			status: http.StatusOK, answer: reflect.TypeFor[Health](), serve: a.health,
		}, {
			method: http.MethodGet, path: "/readyz", id: "readyz", tag: "Health", summary: "Can it do its work?",
			description: "Ready means: the key store can be reached, and the change feed is connected.",
			status:      http.StatusOK, answer: reflect.TypeFor[Health](), errors: []*refusal{errNotReady}, serve: a.ready,
		},
	}
}

func keyFilters() []parameter {
	return append([]parameter{
		{"owner", "Only keys of this owner.", textSchema(200)},
		{"status", "Only keys with this status now.", &huma.Schema{Type: huma.TypeString, Enum: []any{"active", "disabled", "expired"}}},
		{"q", "Only keys with this text in name, prefix, id or owner, whatever the letter case.", textSchema(200)},
		{"api", "Only keys with any access to this API.", textSchema(63)},
		{"unused_since", "Only keys that were not used on the day (of UTC) of this time, nor later; one that was never used counts as used when it was created. They are listed longest unused first.", timeSchema()},
		{"sort", "The order: - before a word turns it round. Names whatever their letter case; those that never expire last; the last use to the day (of UTC), where there was none the creation. Left out: newest first, and of unused keys the longest unused first. A cursor goes on in the same order only.", sortSchema()},
	}, paging()...)
}

func sortSchema() *huma.Schema {
	schema := &huma.Schema{Type: huma.TypeString}
	for _, sort := range keys.Sorts() {
		schema.Enum = append(schema.Enum, string(sort))
	}
	return schema
}

func auditFilters() []parameter {
	return append([]parameter{
		{"key", "Only changes of the key with this id.", textSchema(maxEndpointID)},
		{"actor", "Only changes made by this admin key's id, config, bootstrap, or cli@HOST.", textSchema(maxEndpointID)},
	}, paging()...)
}

func paging() []parameter {
	least, most := 1.0, float64(maxLimit)
	return []parameter{
		{"limit", "How many entries a page has.", &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: defaultLimit}},
		{"cursor", "The next_cursor of the page before.", textSchema(1500)},
	}
}

func textSchema(most int) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, MaxLength: &most, Pattern: noControl, PatternDescription: noControlWord}
}
