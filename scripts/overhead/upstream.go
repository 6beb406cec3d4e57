package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// body is what the upstream says to everything: the size of a small JSON.
const body = `{"id":"7","name":"a small answer","items":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24]}`

// answer is the whole of it. It is a server of a few lines, so that most of the
// machine is left to what is measured.
var answer = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: " +
	strconv.Itoa(len(body)) + "\r\n\r\n" + body)

// upstream answers requests without a body, one after the other on each connection.
type upstream struct {
	listener net.Listener
	workers  sync.WaitGroup
}

func startUpstream(ctx context.Context) (*upstream, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{listener: l}
	u.workers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go u.serve(c) // it ends with the connection, which is the gateway's
		}
	})
	return u, nil
}

func (u *upstream) address() string { return u.listener.Addr().String() }

func (u *upstream) close() error {
	err := u.listener.Close()
	u.workers.Wait()
	return err
}

func (*upstream) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 16<<10)
	for {
		if err := skipHead(in); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// skipHead reads a head up to the empty line at its end.
func skipHead(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return nil
		}
	}
}

// readAnswer reads one answer and returns its status.
func readAnswer(in *bufio.Reader) (status int, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, errors.New("no HTTP/1.1 answer")
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length := -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			break
		}
		if name, value, _ := strings.Cut(text, ":"); strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("an answer without a length")
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return status, err
}
