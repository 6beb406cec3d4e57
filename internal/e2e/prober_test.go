package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// prober uses one key again and again, and notes how long each request takes.
// It reads and writes its connection itself, in a thread of its own: net/http's
// client hands a request through three goroutines, which is what one would
// measure where a millisecond counts.
type prober struct {
	conn *os.File
	text []byte
}

// probeEvery is between two requests of a prober.
const probeEvery = 2 * time.Millisecond

func newProber(t testing.TB, g *Gateway, secret string) *prober {
	t.Helper()
	conn, err := net.Dial("tcp4", g.host())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &prober{file, []byte("GET /rest/users HTTP/1.1\r\nHost: " + g.host() + "\r\nAuthorization: Bearer " + secret + "\r\n\r\n")}
}

// host is where the gateway listens.
func (g *Gateway) host() string { return strings.TrimPrefix(g.URL, "http://") }

// probe sends requests until over is closed, and returns how long each took.
// All must be allowed.
func (p *prober) probe(over <-chan struct{}) (times []time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	fd := int(p.conn.Fd()) // which makes it a blocking one
	for {
		began := time.Now()
		if err := p.once(fd); err != nil {
			return times, fmt.Errorf("request %d with a cached key: %w", len(times)+1, err)
		}
		times = append(times, time.Since(began))
		select {
		case <-over:
			return times, nil
		case <-tick.C:
		}
	}
}

func (p *prober) once(fd int) error {
	for left := p.text; len(left) > 0; {
		n, err := unix.Write(fd, left)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		left = left[max(0, n):]
	}
	var buffer [4096]byte
	for read := 0; !whole(buffer[:read]); {
		n, err := unix.Read(fd, buffer[read:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return fmt.Errorf("the answer ends after %q (%w)", buffer[:read], errors.Join(err))
		}
		read += n
		if prefix := []byte("HTTP/1.1 200 "); !bytes.HasPrefix(buffer[:read], prefix[:min(read, len(prefix))]) {
			return fmt.Errorf("it is answered %q", buffer[:read])
		}
	}
	return nil
}

// whole reports whether an answer is there with its body, whose length it says.
func whole(answer []byte) bool {
	head, body, ended := bytes.Cut(answer, []byte("\r\n\r\n"))
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if strings.EqualFold(string(name), "Content-Length") {
			length, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			return ended && err == nil && len(body) >= length
		}
	}
	return false
}

// besides sends a flood, or none for as long, and returns how long requests
// with a cached key took while it lasted. meanwhile is called until it is over.
func (p *prober) besides(t testing.TB, floods []flooding, lasts time.Duration, meanwhile func()) (all flooded, times []time.Duration) {
	t.Helper()
	over, probed := make(chan struct{}), make(chan error, 1)
	waits := make([]func() flooded, len(floods))
	for i, f := range floods {
		f.Lasts = lasts
		waits[i] = f.start(t)
	}
	go func() {
		var err error
		times, err = p.probe(over)
		probed <- err
	}()
	go func() {
		defer close(over)
		if len(floods) == 0 {
			<-time.After(lasts)
		}
		for _, wait := range waits {
			one := wait()
			all.Sent, all.Refused, all.Unavailable = all.Sent+one.Sent, all.Refused+one.Refused, all.Unavailable+one.Unavailable
			all.Other, all.Late, all.CPU = all.Other+one.Other, all.Late+one.Late, all.CPU+one.CPU
		}
	}()
	for done := false; !done; {
		meanwhile()
		select {
		case <-over:
			done = true
		case <-time.After(time.Millisecond):
		}
	}
	if err := <-probed; err != nil {
		t.Fatal(err)
	}
	return all, times
}
