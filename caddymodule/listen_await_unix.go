//go:build unix

package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// awaitBytes waits until c has something to read, or its read deadline, and
// takes nothing out. At the end of what the client sends it returns io.EOF.
func awaitBytes(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("waiting for a client: %w", err)
	}
	var one [1]byte
	var n int
	waited := raw.Read(func(fd uintptr) bool {
		for again := true; again; again = errors.Is(err, unix.EINTR) {
			n, _, err = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		}
		return !errors.Is(err, unix.EAGAIN)
	})
	if waited != nil || err != nil {
		return errors.Join(waited, err)
	}
	if n == 0 {
		return io.EOF
	}
	return nil
}
