package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// callers are connections to a gateway that stay open, with what they send.
type callers struct {
	conns    []net.Conn
	requests [][]byte // one a secret
	sent     []int    // by connection
}

// call opens n connections to address; their callers have these secrets, and
// each of them goes through its share of them. headers is how many header fields
// there are in each request beyond the usual ones.
func call(ctx context.Context, address string, n int, secrets []string, headers int) (*callers, error) {
	c := &callers{}
	var dialer net.Dialer
	for range n {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	var more strings.Builder
	for i := range headers {
		fmt.Fprintf(&more, "X-Client-Field-%d: a value of some length\r\n", i+1)
	}
	for _, secret := range secrets {
		c.requests = append(c.requests, []byte("GET /rest/items/7 HTTP/1.1\r\nHost: "+address+
			"\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n"+more.String()+"X-API-Key: "+secret+"\r\n\r\n"))
	}
	c.sent = make([]int, n)
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
	for i := range c.conns {
		n := requests / len(c.conns)
		if i < requests%len(c.conns) {
			n++
		}
		all.Go(func() error { return c.sendOn(i, n) })
	}
	err := all.Wait()
	return time.Since(began), err
}

// sendOn sends n requests over connection i, which takes every so many-th secret.
func (c *callers) sendOn(i, n int) error {
	conn := c.conns[i]
	in := bufio.NewReader(conn)
	for range n {
		request := c.requests[(i+c.sent[i]*len(c.conns))%len(c.requests)]
		c.sent[i]++
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
