package gate

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/caddy-keywarden/keywarden/internal/keys"
	"github.com/caddy-keywarden/keywarden/internal/permission"
)

func TestGRPCIsToldByItsContentType(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "Application/GRPC+json": true, "application/grpc-web": true,
		"application/grpc-web-text+proto": true, "application/grpc; charset=utf-8": true, "application/grpc;v=1": true,
		"application/grpcx": false, "application/grp": false, "": false, "application/json": false, "text/plain; application/grpc": false,
	} {
		r := &http.Request{Header: http.Header{"Content-Type": {contentType}}}
		if got := IsGRPC(r); got != want {
			t.Errorf("%q: %t", contentType, got)
		}
	}
	if IsGRPC(&http.Request{Header: http.Header{}}) {
		t.Error("no Content-Type is gRPC")
	}
	if IsGRPC(&http.Request{Header: http.Header{"Content-Type": {"application/grpc", "text/plain"}}}) {
		t.Error("two Content-Types are gRPC")
	}
}

// answered is what a gRPC client learns of a refusal.
func answered(t *testing.T, d Decision, contentType string) (http.Header, *status.Status) {
	t.Helper()
	w := httptest.NewRecorder()
	d.WriteGRPC(w, &http.Request{Header: http.Header{"Content-Type": {contentType}}})
	if w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("answered %d with %d bytes", w.Code, w.Body.Len())
	}
	raw, err := base64.RawStdEncoding.DecodeString(w.Header().Get("Grpc-Status-Details-Bin"))
	if err != nil {
		t.Fatal(err)
	}
	s := new(status.Status)
	if err := proto.Unmarshal(raw, s); err != nil {
		t.Fatal(err)
	}
	return w.Header(), s
}

func TestEveryRefusalHasItsGRPCStatus(t *testing.T) {
	key := keys.NewIdentity(keys.Digest{}, keys.Names{Prefix: "kw_3fGh81Qz"}, nil, 0)
	want := map[Outcome]string{
		MissingKey: "16", UnknownKey: "16", DisabledKey: "16", ExpiredKey: "16", InsufficientAccess: "7", NoSuchAPI: "12",
		AmbiguousRequest: "3", UnreadableBody: "3", BodyTooLarge: "8", MethodNotAllowed: "12", StoreUnavailable: "14",
	}
	for o := range Outcomes {
		if o == Allowed {
			continue
		}
		d := Decision{Outcome: o, Key: key, Reason: "50% of ✓", Wait: 30}
		h, s := answered(t, d, "application/grpc")
		if want[o] != "" && h.Get("Grpc-Status") != want[o] || h.Get("Grpc-Status") == "0" || h.Get("Grpc-Status") == "" {
			t.Errorf("%s: status %s, want %s", o, h.Get("Grpc-Status"), want[o])
		}
		decoded, err := url.PathUnescape(h.Get("Grpc-Message"))
		if err != nil || decoded != d.Detail() || s.Message != d.Detail() {
			t.Errorf("%s: message %q: %v", o, h.Get("Grpc-Message"), err)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/grpc" {
			t.Errorf("%s: headers %v", o, h)
		}
		if waits := h.Get("Grpc-Retry-Pushback-Ms") != ""; waits != (o == StoreUnavailable || o == TooManyFailures) {
			t.Errorf("%s: says when to try again: %t", o, waits)
		}
	}
}

func TestGRPCDetailsSayWhatTheProblemSays(t *testing.T) {
	d := Decision{
		Outcome: InsufficientAccess, Key: keys.NewIdentity(keys.Digest{}, keys.Names{Prefix: "kw_3fGh81Qz"}, nil, 0), API: "shop", Endpoint: "shop.Orders",
		Needs: permission.Write, Has: permission.Read,
	}
	h, s := answered(t, d, "application/grpc-web+proto")
	if h.Get("Grpc-Message") != "needs write on shop/shop.Orders; key kw_3fGh81Qz has read" || h.Get("Content-Type") != "application/grpc-web+proto" {
		t.Errorf("headers %v", h)
	}
	info := new(errdetails.ErrorInfo)
	if len(s.Details) != 1 || s.Details[0].UnmarshalTo(info) != nil {
		t.Fatalf("details %v", s.Details)
	}
	want := map[string]string{"api": "shop", "endpoint": "shop.Orders", "needs": "write", "has": "read"}
	if diff := cmp.Diff(want, info.Metadata); diff != "" || info.Reason != "INSUFFICIENT_ACCESS" || info.Domain != "keywarden" {
		t.Errorf("info %v: %s", info, diff)
	}
	_, s = answered(t, Decision{}, "application/grpc")
	retry := new(errdetails.RetryInfo)
	if len(s.Details) != 2 || s.Details[1].UnmarshalTo(retry) != nil || retry.RetryDelay.GetSeconds() != retrySeconds {
		t.Errorf("details of an unavailable store: %v", s.Details)
	}
}

func TestGRPCAnswerCarriesNoTextOfTheCaller(t *testing.T) {
	h, _ := answered(t, Decision{Outcome: MissingKey}, "application/grpc+<script>\r\nX: y")
	if got := h.Get("Content-Type"); got != "application/grpc" {
		t.Errorf("Content-Type %q", got)
	}
	// A message that is no UTF-8 can't stand in a protobuf string: the status stands without details.
	w := httptest.NewRecorder()
	d := Decision{Outcome: UnreadableBody, Reason: "\xff\n"}
	d.WriteGRPC(w, &http.Request{Header: http.Header{"Content-Type": {"application/grpc"}}})
	if w.Header().Get("Grpc-Status") != "3" || w.Header().Get("Grpc-Message") != "%FF%0A" || w.Header().Get("Grpc-Status-Details-Bin") != "" {
		t.Errorf("headers %v", w.Header())
	}
}
