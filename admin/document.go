package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/permission"
	"github.com/caddy-keywarden/keywarden/internal/problem"
)

// describe makes the OpenAPI document of the operations, and the schemas that
// their bodies are held against.
func (a *api) describe(operations []*operation) error {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	a.schemas = &validator{schemas: registry}
	document := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Keywarden admin API", Version: a.Version,
			Description: "Create, edit, enable, disable, rotate and delete the API keys that the gateway checks.\n\n" +
				"Authenticate with an admin key: `admin: read` is enough to look, changes need `write`. " +
				"Errors are problem+json (RFC 9457); act on their `code`. Every answer is `Cache-Control: no-store`.",
		},
		Servers:    []*huma.Server{{URL: "/"}},
		Components: &huma.Components{Schemas: registry, SecuritySchemes: securitySchemes()},
	}
	for _, o := range operations {
		document.AddOperation(o.describe(registry))
	}
	text, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	a.document = text
	return nil
}

func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An admin key: Authorization: Bearer SECRET"},
		"header": {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An admin key: X-API-Key: SECRET"},
		"session": {
			Type: "apiKey", In: "cookie", Name: SessionCookie,
			Description: "The console's session, opened with an admin key; pages of other origins can't change anything with it",
		},
	}
}

var problemType = reflect.TypeFor[Problem]()

func (o *operation) describe(registry huma.Registry) *huma.Operation {
	out := &huma.Operation{
		Method: o.method, Path: o.path, OperationID: o.id, Tags: []string{o.tag},
		Summary: o.summary, Description: o.description, Parameters: o.parameters(),
		Security: []map[string][]string{}, Responses: map[string]*huma.Response{},
	}
	if o.access != permission.None {
		out.Security = []map[string][]string{{"bearer": {}}, {"header": {}}, {"session": {}}}
	}
	if o.body != nil {
		o.schema = registry.Schema(o.body, true, "")
		content := map[string]*huma.MediaType{"application/json": {Schema: o.schema}}
		if o.method == http.MethodPatch {
			content["application/merge-patch+json"] = &huma.MediaType{Schema: o.schema}
		}
		out.RequestBody = &huma.RequestBody{
			Required: !o.optionalBody, Content: content, Description: fmt.Sprintf("At most %d KiB.", o.maxBody>>10),
		}
	}
	success := &huma.Response{Description: http.StatusText(o.status), Headers: o.answerHeaders()}
	if o.answer != nil {
		success.Content = map[string]*huma.MediaType{"application/json": {Schema: registry.Schema(o.answer, true, "")}}
	}
	out.Responses[strconv.Itoa(o.status)] = success
	o.describeErrors(registry, out)
	return out
}

func (o *operation) parameters() []*huma.Param {
	var out []*huma.Param
	for segment := range strings.SplitSeq(o.path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			out = append(out, &huma.Param{Name: name, In: "path", Required: true, Description: pathWords[name], Schema: textSchema(maxEndpointID)})
		}
	}
	for _, p := range o.query {
		out = append(out, &huma.Param{Name: p.name, In: "query", Description: p.description, Schema: p.schema})
	}
	if o.ifMatch {
		out = append(out, &huma.Param{
			Name: "If-Match", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
			Description: "The ETag of the key as you know it; the change is made only if nobody else was first.",
		})
	}
	if o.prefers {
		out = append(out, &huma.Param{
			Name: headerPrefer, In: "header", Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{"wait=2"}}, Description: preferWords,
		})
	}
	return out
}

var pathWords = map[string]string{
	"id":       "Id of the key.",
	"api":      "Name of a declared API.",
	"endpoint": "Id of the endpoint: 1 to 128 characters, no slash, no control characters.",
}

func (o *operation) answerHeaders() map[string]*huma.Param {
	words := map[string]string{
		"ETag":     "Names this state of the key; give it as If-Match with a change.",
		"Location": "Path of the new key.",
	}
	out := map[string]*huma.Param{}
	for _, name := range o.headers {
		out[name] = &huma.Header{Description: words[name], Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	if o.prefers {
		for name, description := range map[string]string{headerApplied: appliedWords, headerPending: pendingWords} {
			out[name] = &huma.Header{Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
		}
	}
	return out
}

// describeErrors says which codes an operation can answer with, by status.
func (o *operation) describeErrors(registry huma.Registry, out *huma.Operation) {
	byStatus := map[int][]string{}
	note := func(status int, code string) {
		if !slices.Contains(byStatus[status], code) {
			byStatus[status] = append(byStatus[status], code)
		}
	}
	if o.access != permission.None {
		for _, outcome := range []gate.Outcome{
			gate.AmbiguousRequest, gate.MissingKey, gate.UnknownKey, gate.DisabledKey, gate.ExpiredKey,
			gate.InsufficientAccess, gate.SourceNotAllowed, gate.TooManyFailures, gate.StoreUnavailable,
		} {
			note(outcome.Status(), outcome.Code())
		}
		note(http.StatusUnprocessableEntity, "invalid_request")
		if o.method != http.MethodGet { // with a session
			note(errCrossOrigin.Status, errCrossOrigin.Code)
		}
	}
	if o.body != nil {
		note(http.StatusBadRequest, "invalid_json")
		note(http.StatusRequestEntityTooLarge, gate.BodyTooLarge.Code())
		note(errNotJSON.Status, errNotJSON.Code)
	}
	if strings.Contains(o.path, "{") { // a segment that can't be decoded
		note(errNoSuchPath.Status, errNoSuchPath.Code)
	}
	for _, refused := range o.errors {
		note(refused.Status, refused.Code)
	}
	schema := registry.Schema(problemType, true, "")
	for status, codes := range byStatus {
		slices.Sort(codes)
		out.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status) + ". Code: " + strings.Join(codes, ", ") + ".",
			Content:     map[string]*huma.MediaType{problem.ContentType: {Schema: schema}},
		}
	}
}
