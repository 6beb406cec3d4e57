package gate

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// grpcDomain is whose reasons the details of a refusal name (AIP-193).
const grpcDomain = "keywarden"

// IsGRPC reports whether r is a gRPC call, or one of gRPC-Web: its Content-Type
// is application/grpc, with + or - and what the messages are.
func IsGRPC(r *http.Request) bool {
	types := r.Header["Content-Type"]
	return len(types) == 1 && isGRPCType(types[0])
}

func isGRPCType(contentType string) bool {
	const grpc = "application/grpc"
	if len(contentType) < len(grpc) || !strings.EqualFold(contentType[:len(grpc)], grpc) {
		return false
	}
	return len(contentType) == len(grpc) || strings.IndexByte("+-; ", contentType[len(grpc)]) >= 0
}

// WriteGRPC answers a gRPC call with the refusal, as a trailers-only answer
// (gRPC over HTTP/2, "Responses"): clients of gRPC make of anything else an
// error of their own, "unexpected HTTP status code". The code of the contract
// is the reason of an ErrorInfo among the details, in capitals.
func (d *Decision) WriteGRPC(w http.ResponseWriter, r *http.Request) {
	code := grpcCode(d.Outcome.Status())
	h := w.Header()
	// The type of the call: those of gRPC-Web are answered in kind.
	h.Set("Content-Type", grpcAnswerType(r))
	h.Set("Cache-Control", "no-store")
	h.Set("Grpc-Status", strconv.Itoa(int(code)))
	h.Set("Grpc-Message", grpcMessage(d.Detail()))
	if details := d.grpcDetails(code); details != "" {
		h.Set("Grpc-Status-Details-Bin", details)
	}
	if wait := d.retryAfter(); wait > 0 {
		// What clients with a retry policy wait (gRFC A6), in milliseconds.
		h.Set("Grpc-Retry-Pushback-Ms", strconv.Itoa(wait*1000))
	}
	w.WriteHeader(http.StatusOK)
}

// grpcAnswerType keeps a header from carrying what only looked like a type.
func grpcAnswerType(r *http.Request) string {
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	for i := range len(mediaType) {
		if c := mediaType[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("/+-.", c) < 0 {
			return "application/grpc"
		}
	}
	return mediaType
}

// grpcCode is what gRPC calls an HTTP status of section 5 of the contract. It
// is not the table by which clients read statuses of proxies: they would take
// a 400 for INTERNAL.
func grpcCode(status int) codes.Code {
	switch status {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return codes.Unimplemented
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return codes.ResourceExhausted
	}
	return codes.Unavailable
}

// grpcDetails returns the details as the metadata grpc-status-details-bin has
// them; "" if they can't be written, and the status stands without.
func (d *Decision) grpcDetails(code codes.Code) string {
	info := &errdetails.ErrorInfo{Reason: strings.ToUpper(d.Outcome.Code()), Domain: grpcDomain}
	if d.Outcome == InsufficientAccess {
		info.Metadata = map[string]string{"api": d.API, "endpoint": d.Endpoint, "needs": d.Needs.String(), "has": d.Has.String()}
	}
	messages := []proto.Message{info}
	if wait := d.retryAfter(); wait > 0 {
		messages = append(messages, &errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: int64(wait)}})
	}
	s := &status.Status{Code: int32(code), Message: d.Detail()} //nolint:gosec // G115: codes are below 17
	for _, m := range messages {
		detail, err := anypb.New(m)
		if err != nil {
			return ""
		}
		s.Details = append(s.Details, detail)
	}
	out, err := proto.Marshal(s)
	if err != nil {
		return ""
	}
	return base64.RawStdEncoding.EncodeToString(out)
}

// grpcMessage percent-encodes a message as gRPC over HTTP/2 asks for
// ("Percent-Byte-Unencoded"): space to ~ without %.
func grpcMessage(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
