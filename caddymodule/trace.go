package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddy-keywarden/keywarden/internal/gate"
	"github.com/caddy-keywarden/keywarden/internal/keys"
)

const tracerName = "github.com/caddy-keywarden/keywarden/caddymodule"

// startSpan begins a span below the one in ctx, if that is sampled; else the
// span is nil. The provider is the one of the span above, which is Caddy's
// own: it never becomes the global one.
func startSpan(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsSampled() {
		return ctx, nil
	}
	return parent.TracerProvider().Tracer(tracerName).Start(ctx, name, trace.WithSpanKind(kind))
}

// decideTraced is g.Decide within a span, where one is wanted.
func decideTraced(g *gate.Gate, r *http.Request, now time.Time, reports bool) gate.Decision {
	ctx, span := startSpan(r.Context(), "api_key_auth", trace.SpanKindInternal)
	if span == nil {
		return g.Decide(r, now)
	}
	defer span.End()
	judged := r.WithContext(ctx)
	d := g.Decide(judged, now)
	r.Body = judged.Body // it may have been read, and put back
	span.SetAttributes(
		attribute.String("api_key.api", d.API),
		attribute.String("api_key.endpoint", d.Endpoint),
		attribute.String("api_key.access", d.Needs.String()),
		attribute.String("api_key.outcome", codeOf(d.Outcome, reports)),
	)
	if d.Key != nil {
		span.SetAttributes(attribute.String("api_key.id", string(d.Key.ID())))
	}
	return d
}

// observeQuery measures and traces one query of the store.
func observeQuery(ctx context.Context) (context.Context, func(error)) {
	began := time.Now()
	ctx, span := startSpan(ctx, "api_key_auth store", trace.SpanKindClient)
	return ctx, func(err error) {
		storeSeconds.Observe(time.Since(began).Seconds())
		if span == nil {
			return
		}
		if err != nil && !errors.Is(err, keys.ErrNoSuchKey) {
			// Without the error's text: it may name the store's address.
			span.SetStatus(codes.Error, "the store could not be asked")
		}
		span.End()
	}
}
