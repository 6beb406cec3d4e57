package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// callers are connections to a gateway that stay open, with what they send.
type callers struct {
	conns    []net.Conn
	requests [][]byte // each connection sends its own secret
}

// call opens n connections to address; their callers have these secrets.
func call(ctx context.Context, address string, n int, secrets []string) (*callers, error) {
	c := &callers{}
	var dialer net.Dialer
	for i := range n {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
		c.requests = append(c.requests, []byte("GET /rest/items/7 HTTP/1.1\r\nHost: "+address+
			"\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nX-API-Key: "+secrets[i%len(secrets)]+"\r\n\r\n"))
	}
	return c, nil
}

func (c *callers) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// send sends so many requests in all and returns how long that took. Any
// answer but 200 is an error.
func (c *callers) send(requests int) (time.Duration, error) {
	began := time.Now()
	var all errgroup.Group
	for i, conn := range c.conns {
		n := requests / len(c.conns)
		if i < requests%len(c.conns) {
			n++
		}
		all.Go(func() error { return sendOn(conn, c.requests[i], n) })
	}
	err := all.Wait()
	return time.Since(began), err
}

func sendOn(conn net.Conn, request []byte, n int) error {
	in := bufio.NewReader(conn)
	for range n {
		if _, err := conn.Write(request); err != nil {
			return fmt.Errorf("sending a request: %w", err)
		}
		status, err := readAnswer(in)
		if err != nil {
			return fmt.Errorf("reading an answer: %w", err)
		}
		if status != http.StatusOK {
			return fmt.Errorf("answered %d", status)
		}
	}
	return nil
}
