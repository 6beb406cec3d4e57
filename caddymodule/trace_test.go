package caddymodule

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

func init() {
	caddy.RegisterModule(new(testSpan))
	httpcaddyfile.RegisterHandlerDirective("test_span", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return new(testSpan), nil
	})
}

// testSpan stands for Caddy's tracing, which can only send spans away.
type testSpan struct{}

var testProvider *sdktrace.TracerProvider

func (*testSpan) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_span", New: func() caddy.Module { return new(testSpan) }}
}

func (*testSpan) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	ctx, span := testProvider.Tracer("test").Start(r.Context(), "request")
	defer span.End()
	return next.ServeHTTP(w, r.WithContext(ctx))
}

func spansOf(t *testing.T, sampler sdktrace.Sampler, requests func(*site, string)) (keyID string, spans tracetest.SpanStubs) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	testProvider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithSampler(sampler))
	s := newSite(t, "", "route {\ntest_span\n"+standard+"}")
	k, secret := s.key()
	requests(s, secret)
	return string(k.ID), exporter.GetSpans()
}

func TestADecisionIsASpanBelowCaddys(t *testing.T) {
	id, spans := spansOf(t, sdktrace.AlwaysSample(), func(s *site, secret string) {
		s.want(200, "POST", "/graphql", bearer(secret), header("Content-Type", "application/json"), body(`{"query":"{ a }"}`))
		if got := s.upstream.last(t, 1).Body; got != `{"query":"{ a }"}` {
			t.Errorf("the upstream got %q", got)
		}
		s.want(200, "GET", "/rest/users", bearer(secret))
	})
	byName := map[string][]tracetest.SpanStub{}
	for _, span := range spans {
		byName[span.Name] = append(byName[span.Name], span)
	}
	if len(byName["request"]) != 2 || len(byName["api_key_auth"]) != 2 || len(byName["api_key_auth store"]) != 1 {
		t.Fatalf("there are %d, %d and %d spans, want 2 requests, 2 decisions, 1 query",
			len(byName["request"]), len(byName["api_key_auth"]), len(byName["api_key_auth store"]))
	}
	for i, decision := range byName["api_key_auth"] {
		if decision.Parent.SpanID() != byName["request"][i].SpanContext.SpanID() {
			t.Errorf("decision %d is not below its request", i+1)
		}
	}
	if byName["api_key_auth store"][0].Parent.SpanID() != byName["api_key_auth"][0].SpanContext.SpanID() {
		t.Error("the query is not below the decision that made it")
	}
	got := map[string]string{}
	for _, a := range byName["api_key_auth"][1].Attributes {
		got[string(a.Key)] = a.Value.AsString()
	}
	want := map[string]string{
		"api_key.id": id, "api_key.api": "rest", "api_key.endpoint": "users", "api_key.access": "read", "api_key.outcome": "allowed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func TestASpanThatIsNotSampledHasNoneBelow(t *testing.T) {
	_, spans := spansOf(t, sdktrace.NeverSample(), func(s *site, secret string) {
		s.want(200, "GET", "/rest/a", bearer(secret))
	})
	if len(spans) != 0 {
		t.Errorf("%d spans", len(spans))
	}
}
