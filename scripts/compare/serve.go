package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// answer is what the upstream says to everything: the size of a small JSON.
var answer = []byte(`{"id":"7","name":"a small answer","items":[` + strings.Repeat(`{"n":1},`, 24) + `{"n":1}]}`)

// beServer is the upstream, or the service that others ask about each request:
// a map of keys and no more, so that what is measured is the asking.
func beServer(ctx context.Context, role, listen, file string) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer) // a caller that has gone away
	})
	if role == "auth" {
		known, err := readKeys(file)
		if err != nil {
			return err
		}
		handler = func(w http.ResponseWriter, r *http.Request) {
			if !known[r.Header.Get("X-Api-Key")] {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
	}
	server := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // the process ends
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving as %s: %w", role, err)
	}
	return nil
}

func readKeys(file string) (map[string]bool, error) {
	f, err := os.Open(file) // a file of our own
	if err != nil {
		return nil, err
	}
	defer f.Close()
	known := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		known[lines.Text()] = true
	}
	return known, lines.Err()
}
