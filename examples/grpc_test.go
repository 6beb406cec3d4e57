package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// call makes a gRPC call with a real client and compares the status code's
// name. An answer's fields are not looked at: a message of another type keeps
// them as unknown ones.
func (r *requests) call(who, method, message, want string) error {
	secret, known := r.secrets[who]
	if !known && who != "-" {
		return fmt.Errorf("there is no key %q", who)
	}
	var in structpb.Struct
	if message != "" {
		if err := json.Unmarshal([]byte(message), &in); err != nil {
			return fmt.Errorf("message %s: %w", message, err)
		}
	}
	host := strings.TrimPrefix(r.gateway.URL, "http://")
	connection, err := grpc.NewClient("passthrough:///"+strings.Replace(host, "localhost", "127.0.0.1", 1),
		grpc.WithAuthority(host), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if secret != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", secret)
	}
	err = connection.Invoke(ctx, method, &in, &emptypb.Empty{})
	if got := status.Code(err).String(); got != want {
		return fmt.Errorf("%s %s is answered with %s (%w), want %s", who, method, got, err, want)
	}
	return nil
}
