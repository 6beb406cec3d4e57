// Package freeport finds ports for programs of tests that are told where to
// listen. What can listen at port 0 and say where that is has no need of it.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gofrs/flock"
)

// The ports are below those that the kernel gives to outgoing connections and
// to whoever listens at port 0 (from 32768 on with Linux, ip(7),
// ip_local_port_range): on a busy machine one of those may be taken between the
// moment in which it is found free and that in which a program listens.
const (
	first = 20_000
	last  = 32_000
)

// Take returns n ports at which nothing listens, and nothing of this machine is
// likely to listen but what the caller starts. Until the test has ended, no other
// test of this user is given them, in whichever process: a program takes a second to listen,
// and among hundreds of starts another came first now and then.
func Take(t testing.TB, n int) []int {
	t.Helper()
	const tries = 1000
	var ports []int
	for range tries {
		if len(ports) == n {
			return ports
		}
		port := first + rand.N(last-first) //nolint:gosec // G404: it is no secret
		if reserve(t, port) && free(port) {
			ports = append(ports, port)
		}
	}
	t.Fatalf("found %d free ports of %d between %d and %d in %d tries", len(ports), n, first, last, tries)
	return nil
}

// reserve reports whether the port is this test's from now on. Processes agree
// by a locked file for each port, which the system unlocks should they die.
func reserve(t testing.TB, port int) bool {
	t.Helper()
	// Nobody can lock another user's files: each user has a folder.
	dir := filepath.Join(os.TempDir(), "keywarden-test-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(filepath.Join(dir, strconv.Itoa(port)))
	locked, err := lock.TryLock()
	if err != nil {
		t.Fatal(err)
	}
	if !locked {
		return false
	}
	t.Cleanup(func() {
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	})
	return true
}

// Addresses is Take with each port at 127.0.0.1.
func Addresses(t testing.TB, n int) []string {
	t.Helper()
	addresses := make([]string, n)
	for i, port := range Take(t, n) {
		addresses[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return addresses
}

// free reports whether nothing listens at a port, at any address.
func free(port int) bool {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf(":%d", port))
	return err == nil && l.Close() == nil
}
