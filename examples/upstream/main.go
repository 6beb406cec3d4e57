// Command upstream is the example API that Keywarden stands in front of: an
// API that has never heard of keys. It has REST routes, a GraphQL route, a
// JSON-RPC route, a gRPC service and serverless-style routes, and keeps everything in memory.
// It checks no credential; GET /rest/whoami shows what the gateway told it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	maxBody       = 1 << 20
	headerTimeout = 10 * time.Second
	stopTimeout   = 5 * time.Second
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen); err != nil {
		log.Printf("example API: %v", err)
		os.Exit(1)
	}
}

// serve answers requests at address until ctx ends.
func serve(ctx context.Context, address string) error {
	handler, err := newHandler()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // gRPC
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends the goroutine below where serving fails
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		// What is under way gets a little more time than ctx had.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		stopped <- server.Shutdown(last)
	}()
	log.Printf("example API: listening on %s", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return <-stopped
}

// newHandler returns the whole API over a store of its own.
func newHandler() (http.Handler, error) {
	s := newStore()
	graphql, err := newGraphQL(s)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /docs/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("The example API.\n")) })
	mux.HandleFunc("/rest/whoami", whoami)
	mux.Handle("/graphql", graphql)
	mux.Handle("POST /rpc", &rpc{store: s})
	routeREST(mux, s)
	routeServerless(mux, newQueue())
	return grpcOr(newGRPC(s), http.MaxBytesHandler(mux, maxBody)), nil
}
