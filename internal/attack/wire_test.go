package attack

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// wire is a connection on which requests are written byte for byte. It is
// opened when it is needed, and again where the other end has closed it.
type wire struct {
	address string
	timeout time.Duration // 0: exchangeTimeout
	conn    net.Conn
	in      *bufio.Reader
}

// exchangeTimeout is how long one answer may take; nothing here is slow.
const exchangeTimeout = 30 * time.Second

// errHungUp says that the server closed the connection instead of an answer,
// as servers may do with what is no HTTP.
var errHungUp = errors.New("the server hung up")

// exchange writes a request and reads its answer, the body included.
func (w *wire) exchange(method, request string) (*http.Response, []byte, error) {
	fresh := w.conn == nil
	response, body, err := w.attempt(method, request)
	if err != nil && !fresh {
		// The other end may have closed an idle connection meanwhile.
		response, body, err = w.attempt(method, request)
	}
	return response, body, err
}

func (w *wire) attempt(method, request string) (*http.Response, []byte, error) {
	if err := w.open(); err != nil {
		return nil, nil, err
	}
	if err := w.conn.SetDeadline(time.Now().Add(cmp.Or(w.timeout, exchangeTimeout))); err != nil {
		return nil, nil, err
	}
	// A server that refuses early does not read to the end; its answer is there
	// all the same.
	_, writeErr := io.WriteString(w.conn, request)
	response, body, err := w.read(method)
	if err != nil {
		w.close()
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return nil, nil, fmt.Errorf("no answer: %w", err)
		}
		return nil, nil, errHungUp
	}
	if writeErr != nil || response.Close || method == http.MethodConnect {
		w.close()
	}
	return response, body, nil
}

func (w *wire) open() error {
	if w.conn != nil {
		return nil
	}
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	w.conn, w.in = conn, bufio.NewReader(conn)
	return nil
}

func (w *wire) close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}

// read reads an answer, past those that are only announcements.
func (w *wire) read(method string) (*http.Response, []byte, error) {
	for {
		response, err := http.ReadResponse(w.in, &http.Request{Method: method})
		if err != nil {
			return nil, nil, err
		}
		if response.StatusCode < http.StatusOK {
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		return response, body, err
	}
}
