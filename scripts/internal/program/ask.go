package program

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// AdminKey is the admin key of gateways that are measured.
const AdminKey = "measured-admin-key-0123456789abcdef"

// Ask sends one request, with the admin key, and returns what is answered.
func Ask(ctx context.Context, method, url string, body []byte) (status int, said []byte, err error) {
	return ask(ctx, method, url, "Authorization", "Bearer "+AdminKey, body)
}

// Status is the status of the answer to a GET with one header.
func Status(ctx context.Context, url, header, value string) (int, error) {
	status, _, err := ask(ctx, http.MethodGet, url, header, value, nil)
	return status, err
}

func ask(ctx context.Context, method, url, header, value string, body []byte) (status int, said []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(header, value)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	said, err = io.ReadAll(io.LimitReader(response.Body, 64<<20))
	return response.StatusCode, said, err
}

// Await waits until the program answers at url.
func (p *Program) Await(ctx context.Context, url string) error {
	return p.await(ctx, patience, "has not answered", func() bool {
		status, err := Status(ctx, url, "X-Measured", "1")
		return err == nil && status != http.StatusServiceUnavailable
	})
}

// AwaitSaying waits until the program has printed text.
func (p *Program) AwaitSaying(ctx context.Context, text string, most time.Duration) error {
	return p.await(ctx, most, fmt.Sprintf("has not said %q", text), func() bool {
		return bytes.Contains([]byte(p.Said()), []byte(text))
	})
}

func (p *Program) await(ctx context.Context, most time.Duration, fault string, done func() bool) error {
	for began := time.Now(); time.Since(began) < most; {
		if done() {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.exited:
			return fmt.Errorf("%s did not start: %s", p.Name, p.Said())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s %s within %s: %s", p.Name, fault, most, p.Said())
}

// FreeAddresses puts an address at which nothing listens into each place.
func FreeAddresses(ctx context.Context, places ...*string) error {
	for _, place := range places {
		var config net.ListenConfig
		l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		*place = l.Addr().String()
		defer l.Close() // not before all are found, so that no two are the same
	}
	return nil
}
