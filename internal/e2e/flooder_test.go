package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// flooding says what a flood shall be, to the process that sends it. That is
// this program, started anew: a sender in the test's own process would stand
// in the way of what the test measures, and the other way round.
type flooding struct {
	Host      string
	PerSecond int
	Lasts     time.Duration
	// Malformed secrets have the wrong checksum; others are unknown.
	Malformed bool
}

const (
	// Each request waits some 7 ms until the gateway knows: 20 000 a second are
	// 150 at a time. A busy machine makes them wait longer.
	floodConnections = 768
	// floodBatch requests are written at once, as whoever wants to do harm
	// cheaply would; floodStep is how often that is done: evenly.
	floodBatch = 5
	floodStep  = time.Millisecond
)

// flooded is what became of a flood.
type flooded struct {
	Sent, Refused, Unavailable, Other int
	// Late requests were due and not sent: the gateway took no more.
	Late int
	// CPU is what sending took.
	CPU time.Duration
}

// asFlooder is the environment variable that makes this program a sender.
const asFlooder = "KEYWARDEN_TEST_FLOODING"

// start starts sending. What it returns waits for the end of the flood.
func (f flooding) start(t testing.TB) (wait func() flooded) {
	t.Helper()
	terms, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), asFlooder+"="+string(terms), "GOMAXPROCS=1")
	var said, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &failed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (done flooded) {
		t.Helper()
		if err := cmd.Wait(); err != nil {
			t.Errorf("sending a flood: %v\n%s", err, failed.String())
			return done
		}
		if err := json.Unmarshal(said.Bytes(), &done); err != nil {
			t.Error(err)
		}
		done.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		return done
	}
}

// beFlooder is what a sender does.
func beFlooder(terms string, out io.Writer) error {
	var s sender
	if err := json.Unmarshal([]byte(terms), &s.flooding); err != nil {
		return err
	}
	for range floodConnections {
		c, err := dialRaw(s.Host)
		if err != nil {
			return err
		}
		s.all = append(s.all, c)
	}
	s.prepare()
	if err := s.send(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(s.flooded)
}

// sender sends a flood in one thread that never waits for an answer: it takes
// a connection's answers when it comes to write there again. So 20 000
// requests a second are 8000 system calls, and a tenth of a core.
type sender struct {
	flooding
	flooded
	all    []*rawConn
	next   int    // of all
	text   []byte // of a request
	at     int    // where its secret stands
	serial uint64
	buffer [64 << 10]byte
}

// rawConn is a connection that is never waited for.
type rawConn struct {
	fd      int
	unsent  []byte // of the last batch
	waiting int    // requests without an answer
	tail    []byte // of what was read: the beginning of an answer may be cut
}

func dialRaw(host string) (*rawConn, error) {
	conn, err := net.Dial("tcp4", host)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		return nil, err
	}
	return &rawConn{fd: fd}, unix.SetNonblock(fd, true)
}

func (s *sender) prepare() {
	before := "GET /rest/users HTTP/1.1\r\nHost: " + s.Host + "\r\nAuthorization: Bearer "
	s.text, s.at = fmt.Appendf(nil, "%s%s\r\n\r\n", before, wellFormed(fmt.Sprintf("kw_%032d", 0))), len(before)
	s.serial = rand.Uint64() >> 8 // another flood has other secrets
}

func (s *sender) send() error {
	total := int(float64(s.PerSecond) * s.Lasts.Seconds())
	tick := time.NewTicker(floodStep)
	defer tick.Stop()
	for began := time.Now(); s.Sent < total && time.Since(began) < s.Lasts; <-tick.C {
		if err := s.catchUp(int(float64(s.PerSecond) * time.Since(began).Seconds())); err != nil {
			return err
		}
	}
	s.Late = total - s.Sent
	return s.drain()
}

// catchUp sends what is due, as far as the connections take it.
func (s *sender) catchUp(due int) error {
	for busy := 0; s.Sent+floodBatch <= due && busy < len(s.all); {
		c := s.all[s.next%len(s.all)]
		s.next++
		if err := errors.Join(s.take(c), c.flush()); err != nil {
			return err
		}
		if len(c.unsent) > 0 || c.waiting > 3*floodBatch {
			busy++
			continue
		}
		busy = 0
		for range floodBatch {
			s.renew()
			c.unsent = append(c.unsent, s.text...)
		}
		c.waiting += floodBatch
		s.Sent += floodBatch
		if err := c.flush(); err != nil {
			return err
		}
	}
	return nil
}

// renew puts another secret in the place of the last one.
func (s *sender) renew() {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	s.serial++
	text := s.text[s.at : s.at+len("kw_")+32]
	for i, n := len(text)-1, s.serial; n > 0; i, n = i-1, n/62 {
		text[i] = digits[n%62]
	}
	if !s.Malformed {
		copy(s.text[s.at:], wellFormed(string(text)))
	}
}

func (c *rawConn) flush() error {
	for len(c.unsent) > 0 {
		n, err := unix.Write(c.fd, c.unsent)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("writing: %w", err)
		default:
			c.unsent = c.unsent[:copy(c.unsent, c.unsent[n:])]
		}
	}
	return nil
}

// take counts the answers that have come.
func (s *sender) take(c *rawConn) error {
	for c.waiting > 0 {
		n, err := unix.Read(c.fd, s.buffer[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("reading: %w", err)
		case n == 0:
			return errors.New("the gateway closed a connection")
		}
		if err := s.count(c, s.buffer[:n]); err != nil {
			return err
		}
	}
	return nil
}

var statusLine = []byte("HTTP/1.1 ")

// count finds the beginnings of answers: no refusal has one in its body.
func (s *sender) count(c *rawConn, read []byte) error {
	text := append(c.tail, read...)
	for {
		i := bytes.Index(text, statusLine)
		if i < 0 || len(text) < i+len(statusLine)+3 {
			c.tail = slices.Clone(text[max(0, i, len(text)-len(statusLine)-2):])
			return nil
		}
		text = text[i+len(statusLine):]
		status, err := strconv.Atoi(string(text[:3]))
		if err != nil {
			return fmt.Errorf("an answer's status is %q", text[:3])
		}
		c.waiting--
		switch status {
		case 401:
			s.Refused++
		case 503:
			s.Unavailable++
		default:
			s.Other++
		}
	}
}

// drain waits for the answers that have not come yet.
func (s *sender) drain() error {
	const patience = time.Minute
	tick := time.NewTicker(floodStep)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		waiting := 0
		for _, c := range s.all {
			if err := errors.Join(c.flush(), s.take(c)); err != nil {
				return err
			}
			waiting += c.waiting
		}
		if waiting == 0 {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("%d requests have no answer %s later", waiting, patience)
		}
	}
}
