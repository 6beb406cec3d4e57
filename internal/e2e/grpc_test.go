package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcConfig stands in front of grpc-go's interoperability service. %s is how
// the site is reached.
const grpcConfig = `{
	auto_https disable_redirects
	skip_install_trust
	servers {
		protocols h1 h2 h2c
	}
	api_keys {
		store sqlite ./data/keys.db
	}
}

%s://localhost:8080 {
	bind 127.0.0.1
	%s
	api_key_auth {
		api interop {
			path /{endpoint}/*
			grpc {
				read grpc.testing.TestService/EmptyCall grpc.testing.TestService/Streaming*
			}
		}
	}
	reverse_proxy h2c://127.0.0.1:9000
}

http://localhost:2020 {
	bind 127.0.0.1
	api_key_admin
}
`

// grpcUpstream is a real gRPC server that remembers what reached it.
type grpcUpstream struct {
	testpb.UnimplementedTestServiceServer

	mu   sync.Mutex
	seen []string
	last metadata.MD
}

func (u *grpcUpstream) note(ctx context.Context, method string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = append(u.seen, method)
	u.last, _ = metadata.FromIncomingContext(ctx)
}

func (u *grpcUpstream) calls() ([]string, metadata.MD) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.seen...), u.last
}

func (u *grpcUpstream) EmptyCall(ctx context.Context, _ *testpb.Empty) (*testpb.Empty, error) {
	u.note(ctx, "EmptyCall")
	return &testpb.Empty{}, nil
}

func (u *grpcUpstream) UnaryCall(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	u.note(ctx, "UnaryCall")
	return &testpb.SimpleResponse{Payload: in.GetPayload()}, nil
}

func (u *grpcUpstream) StreamingOutputCall(in *testpb.StreamingOutputCallRequest, out testpb.TestService_StreamingOutputCallServer) error {
	u.note(out.Context(), "StreamingOutputCall")
	for _, p := range in.GetResponseParameters() {
		answer := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, p.GetSize())}}
		if err := out.Send(answer); err != nil {
			return err
		}
	}
	return status.Error(codes.DataLoss, "the upstream's own words")
}

func (u *grpcUpstream) StreamingInputCall(in testpb.TestService_StreamingInputCallServer) error {
	u.note(in.Context(), "StreamingInputCall")
	size := int32(0)
	for {
		message, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: size})
		}
		if err != nil {
			return err
		}
		size += int32(len(message.GetPayload().GetBody())) // a test's sizes
	}
}

func (u *grpcUpstream) FullDuplexCall(both testpb.TestService_FullDuplexCallServer) error {
	u.note(both.Context(), "FullDuplexCall")
	for {
		message, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := both.Send(&testpb.StreamingOutputCallResponse{Payload: message.GetPayload()}); err != nil {
			return err
		}
	}
}

// startGRPC starts a gateway that is reached by scheme in front of a real gRPC
// server, and returns a client of it for a secret ("" for none).
func startGRPC(t *testing.T, scheme string) (*Gateway, *grpcUpstream, func(secret string) testpb.TestServiceClient) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstream, server := &grpcUpstream{}, grpc.NewServer()
	testpb.RegisterTestServiceServer(server, upstream)
	go func() { _ = server.Serve(listener) }() // ends with Stop
	t.Cleanup(server.Stop)

	options, secure := "", grpc.WithTransportCredentials(insecure.NewCredentials())
	if scheme == "https" {
		options = "tls internal"
		secure = grpc.WithTransportCredentials(credentials.NewTLS(selfSigned))
	}
	g := Start(t, Options{Config: fmt.Sprintf(grpcConfig, scheme, options), Upstream: listener.Addr().String()})
	address := strings.Replace(strings.TrimPrefix(g.URL, "http://"), "localhost", "127.0.0.1", 1)
	if scheme == "https" { // Caddy makes its certificate in the background
		Eventually(t, startTimeout, "a certificate", func() bool {
			connection, err := tls.Dial("tcp4", strings.TrimPrefix(g.URL, "http://"), selfSigned)
			return err == nil && connection.Close() == nil
		})
	}
	return g, upstream, func(secret string) testpb.TestServiceClient {
		connection, err := grpc.NewClient("passthrough:///"+address, secure,
			grpc.WithAuthority(strings.TrimPrefix(g.URL, "http://")), grpc.WithChainUnaryInterceptor(presentUnary(secret)),
			grpc.WithChainStreamInterceptor(presentStream(secret)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		return testpb.NewTestServiceClient(connection)
	}
}

// selfSigned takes any certificate: the gateway's was made a moment ago.
var selfSigned = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}} // see above

func present(ctx context.Context, secret string) context.Context {
	if secret == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
}

func presentUnary(secret string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, in, out any, c *grpc.ClientConn, call grpc.UnaryInvoker, o ...grpc.CallOption) error {
		return call(present(ctx, secret), method, in, out, c, o...)
	}
}

func presentStream(secret string) grpc.StreamClientInterceptor {
	return func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
		return open(present(ctx, secret), d, c, method, o...)
	}
}

// refusedWith fails unless err is a gRPC error of the code, with the reason of
// the contract among its details and the text in its message.
func refusedWith(t *testing.T, err error, code codes.Code, reason, text string) {
	t.Helper()
	s := status.Convert(err)
	got := ""
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			got = info.GetReason()
		}
	}
	if s.Code() != code || got != reason || !strings.Contains(s.Message(), text) {
		t.Errorf("answered %s %q (reason %q); want %s %q (reason %q)", s.Code(), s.Message(), got, code, text, reason)
	}
}

func TestGRPCClientsAreJudgedByTheMethodTheyCall(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			g, upstream, client := startGRPC(t, scheme)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			reader := g.Create(map[string]any{"owner": "team-7", "permissions": map[string]any{"mode": "read_only"}})
			writer := g.Create(nil)
			other := g.Create(map[string]any{"permissions": Restricted(map[string]any{
				"interop": map[string]any{"access": "restricted", "endpoints": map[string]any{"grpc.testing.Other": "write"}},
			})})

			_, err := client("").EmptyCall(ctx, &testpb.Empty{})
			refusedWith(t, err, codes.Unauthenticated, "MISSING_KEY", "needs an API key")
			_, err = client(strings.Replace(reader.Secret, "kw_", "kw_X", 1)).EmptyCall(ctx, &testpb.Empty{})
			refusedWith(t, err, codes.Unauthenticated, "UNKNOWN_KEY", "malformed, unknown or deleted")
			_, err = client(reader.Secret).UnaryCall(ctx, &testpb.SimpleRequest{})
			refusedWith(t, err, codes.PermissionDenied, "INSUFFICIENT_ACCESS", "needs write on interop/grpc.testing.TestService; key "+reader.Prefix+" has read")
			_, err = client(other.Secret).EmptyCall(ctx, &testpb.Empty{})
			refusedWith(t, err, codes.PermissionDenied, "INSUFFICIENT_ACCESS", "has none")
			if calls, _ := upstream.calls(); len(calls) != 0 {
				t.Fatalf("%v reached the upstream", calls)
			}

			if _, err := client(reader.Secret).EmptyCall(ctx, &testpb.Empty{}); err != nil {
				t.Errorf("a read: %v", err)
			}
			_, sent := upstream.calls()
			told := strings.Join(append(append(sent.Get("x-auth-key-id"), sent.Get("x-auth-endpoint")...), sent.Get("x-auth-access")...), " ")
			if told != reader.ID+" grpc.testing.TestService read" || len(sent.Get("authorization")) != 0 {
				t.Errorf("the upstream was told %v", sent)
			}
			answer, err := client(writer.Secret).UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: []byte("hello")}})
			if err != nil || string(answer.GetPayload().GetBody()) != "hello" {
				t.Errorf("a write: %v, %v", answer, err)
			}
			// What the upstream answers is its own, status and words.
			_, err = client(writer.Secret).UnimplementedCall(ctx, &testpb.Empty{})
			if s := status.Convert(err); s.Code() != codes.Unimplemented || len(s.Details()) != 0 {
				t.Errorf("a method that the upstream has not: %v", err)
			}

			g.Patch(reader.ID, map[string]any{"enabled": false})
			_, err = client(reader.Secret).EmptyCall(ctx, &testpb.Empty{})
			refusedWith(t, err, codes.Unauthenticated, "DISABLED_KEY", reader.Prefix+" is disabled")
		})
	}
}

func TestGRPCStreamsGoThroughBothWays(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			g, upstream, client := startGRPC(t, scheme)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			reader := client(g.Create(map[string]any{"permissions": map[string]any{"mode": "read_only"}}).Secret)
			writer := client(g.Create(nil).Secret)

			receiveStream(ctx, t, reader)
			sendStream(ctx, t, reader)
			exchangeStream(ctx, t, writer)

			both, err := reader.FullDuplexCall(ctx)
			if err == nil {
				_, err = both.Recv()
			}
			refusedWith(t, err, codes.PermissionDenied, "INSUFFICIENT_ACCESS", "needs write")
			if calls, _ := upstream.calls(); strings.Join(calls, " ") != "StreamingOutputCall StreamingInputCall FullDuplexCall" {
				t.Errorf("reached the upstream: %v", calls)
			}
		})
	}
}

func receiveStream(ctx context.Context, t *testing.T, c testpb.TestServiceClient) {
	t.Helper()
	in, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{ResponseParameters: []*testpb.ResponseParameters{{Size: 1}, {Size: 100_000}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 100_000} {
		if message, err := in.Recv(); err != nil || len(message.GetPayload().GetBody()) != size {
			t.Fatalf("a message of %d bytes, %v; want %d", len(message.GetPayload().GetBody()), err, size)
		}
	}
	if _, err := in.Recv(); status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "the upstream's own words" {
		t.Errorf("the stream ended with %v", err)
	}
}

func sendStream(ctx context.Context, t *testing.T, c testpb.TestServiceClient) {
	t.Helper()
	out, err := c.StreamingInputCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := out.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: make([]byte, 50_000)}}); err != nil {
			t.Fatal(err)
		}
	}
	if answer, err := out.CloseAndRecv(); err != nil || answer.GetAggregatedPayloadSize() != 150_000 {
		t.Errorf("%d bytes arrived, %v", answer.GetAggregatedPayloadSize(), err)
	}
}

// exchangeStream sends a message only when the one before was answered: nobody
// on the way may wait for more.
func exchangeStream(ctx context.Context, t *testing.T, c testpb.TestServiceClient) {
	t.Helper()
	both, err := c.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two", "three"} {
		if err := both.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: []byte(text)}}); err != nil {
			t.Fatal(err)
		}
		if message, err := both.Recv(); err != nil || string(message.GetPayload().GetBody()) != text {
			t.Fatalf("answered %v, %v; want %s", message, err, text)
		}
	}
	if err := both.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := both.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

// gRPC-Web speaks HTTP/1.1 too, and is refused in kind.
func TestGRPCWebIsRefusedInKind(t *testing.T) {
	g, upstream, _ := startGRPC(t, "http")
	web := Header{"Content-Type", "application/grpc-web+proto"}
	call := "\x00\x00\x00\x00\x00"
	answer := g.Call("POST", "/grpc.testing.TestService/EmptyCall", call, web)
	if answer.Status != http.StatusOK || answer.Header.Get("Grpc-Status") != "16" || answer.Header.Get("Content-Type") != web.Value || len(answer.Body) != 0 {
		t.Errorf("answered %s %v", answer, answer.Header)
	}
	// Other requests on the same path are refused as ever.
	Expect(t, g.Call("POST", "/grpc.testing.TestService/EmptyCall", call), http.StatusUnauthorized, "missing_key")
	// A stream that has only begun is refused at once.
	raw := g.Raw("POST /grpc.testing.TestService/FullDuplexCall HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/grpc-web\r\nContent-Length: 1000000\r\n\r\n")
	if raw.Header.Get("Grpc-Status") != "16" {
		t.Errorf("answered %s %v", raw, raw.Header)
	}
	if calls, _ := upstream.calls(); len(calls) != 0 {
		t.Errorf("%v reached the upstream", calls)
	}
}
