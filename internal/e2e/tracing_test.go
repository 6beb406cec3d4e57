package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const tracingCaddyfile = `{
	api_keys {
		store sqlite ./data/keys.db
	}
}

http://localhost:8080 {
	bind 127.0.0.1
	tracing {
		span gateway
	}
	api_key_auth {
		credentials bearer header X-API-Key query api_key
		api rest {
			path /rest/*
			endpoint users /rest/users /rest/users/*
		}
	}
	reverse_proxy 127.0.0.1:9000
}

http://localhost:2020 {
	bind 127.0.0.1
	api_key_admin
}
`

// receiver takes spans in by OTLP over gRPC, as a collector does.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	address string

	mu    sync.Mutex
	spans []*otlp.Span
	raw   bytes.Buffer // all that was received
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{address: "http://" + listener.Addr().String()}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// Export implements the OTLP service.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	raw, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw.Write(raw)
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return new(collector.ExportTraceServiceResponse), nil
}

// named returns the spans of a trace that have the name.
func (r *receiver) named(trace, name string) []*otlp.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*otlp.Span
	for _, s := range r.spans {
		if hex.EncodeToString(s.GetTraceId()) == trace && s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

// one waits for the only span of a trace that has the name.
func (r *receiver) one(t *testing.T, trace, name string) *otlp.Span {
	t.Helper()
	Eventually(t, 20*time.Second, "received: span "+name, func() bool { return len(r.named(trace, name)) > 0 })
	found := r.named(trace, name)
	if len(found) != 1 {
		t.Fatalf("trace %s has %d spans %q, want one", trace, len(found), name)
	}
	return found[0]
}

func attributes(s *otlp.Span) map[string]string {
	got := map[string]string{}
	for _, a := range s.GetAttributes() {
		if strings.HasPrefix(a.GetKey(), "api_key.") {
			got[a.GetKey()] = a.GetValue().GetStringValue()
		}
	}
	return got
}

// traced is a W3C traceparent (https://www.w3.org/TR/trace-context/) of a
// caller that samples.
func traced(trace string) Header {
	return Header{"Traceparent", "00-" + trace + "-00f067aa0ba902b7-01"}
}

func TestSpansReachAnOTLPReceiverBelowCaddysAndHoldNoSecret(t *testing.T) {
	r := startReceiver(t)
	upstream := NewUpstream(t)
	g := Start(t, Options{Config: tracingCaddyfile, Upstream: upstream.Address, Env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.address, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_BSP_SCHEDULE_DELAY=50",
		"OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none",
	}})
	key := g.Create(map[string]any{"name": "reader", "permissions": map[string]any{"mode": "read_only"}})
	g.settled() // a key is looked up again when its change is heard of

	const cold, warm, refused, inQuery = "4bf92f3577b34da6a3ce929d0e0e4731", "4bf92f3577b34da6a3ce929d0e0e4732", "4bf92f3577b34da6a3ce929d0e0e4733", "4bf92f3577b34da6a3ce929d0e0e4734"
	Expect(t, g.Call("GET", "/rest/users/7", "", Bearer(key.Secret), traced(cold)), http.StatusOK, "")
	if got := upstream.Last(t).Header.Get("Traceparent"); !strings.HasPrefix(got, "00-"+cold+"-") || strings.Contains(got, "00f067aa0ba902b7") {
		t.Errorf("the upstream got traceparent %q, want the caller's trace and the gateway's span", got)
	}
	Expect(t, g.Call("GET", "/rest/users/7", "", Bearer(key.Secret), traced(warm)), http.StatusOK, "")
	Expect(t, g.Call("POST", "/rest/users", "{}", Header{"X-API-Key", key.Secret}, traced(refused)), http.StatusForbidden, "insufficient_access")
	Expect(t, g.Call("GET", "/rest/users?api_key="+key.Secret, "", traced(inQuery)), http.StatusOK, "")

	for _, c := range []struct {
		name, trace string
		want        map[string]string
	}{
		{"cold", cold, map[string]string{"api_key.id": key.ID, "api_key.api": "rest", "api_key.endpoint": "users", "api_key.access": "read", "api_key.outcome": "allowed"}},
		{"cached", warm, map[string]string{"api_key.id": key.ID, "api_key.api": "rest", "api_key.endpoint": "users", "api_key.access": "read", "api_key.outcome": "allowed"}},
		{"refused", refused, map[string]string{"api_key.id": key.ID, "api_key.api": "rest", "api_key.endpoint": "users", "api_key.access": "write", "api_key.outcome": "insufficient_access"}},
		{"in the query", inQuery, map[string]string{"api_key.id": key.ID, "api_key.api": "rest", "api_key.endpoint": "users", "api_key.access": "read", "api_key.outcome": "allowed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			caddys := r.one(t, c.trace, "gateway")
			if got := hex.EncodeToString(caddys.GetParentSpanId()); got != "00f067aa0ba902b7" {
				t.Errorf("Caddy's span is below %s, want the caller's", got)
			}
			decision := r.one(t, c.trace, "api_key_auth")
			if !bytes.Equal(decision.GetParentSpanId(), caddys.GetSpanId()) {
				t.Error("the decision is not below Caddy's span")
			}
			if diff := cmp.Diff(c.want, attributes(decision)); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
		})
	}
	query := r.one(t, cold, "api_key_auth store")
	if !bytes.Equal(query.GetParentSpanId(), r.one(t, cold, "api_key_auth").GetSpanId()) {
		t.Error("the query is not below the decision that made it")
	}
	if n := len(r.named(warm, "api_key_auth store")); n != 0 {
		t.Errorf("a request with a cached key has %d spans of queries", n)
	}

	g.Stop() // sends what it still has
	r.mu.Lock()
	defer r.mu.Unlock()
	digest := sha256.Sum256([]byte(key.Secret))
	for what, unwanted := range map[string][]byte{
		"secret": []byte(key.Secret), "digest": digest[:], "digest in hex": []byte(hex.EncodeToString(digest[:])), "admin key": []byte(g.AdminKey),
	} {
		if bytes.Contains(r.raw.Bytes(), unwanted) {
			t.Errorf("the spans hold the %s", what)
		}
	}
}
