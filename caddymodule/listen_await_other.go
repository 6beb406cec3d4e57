//go:build !unix

package caddymodule

import (
	"errors"
	"net"
)

// awaitBytes is not needed: Caddy has no socket of its own for each
// configuration here, and there is no guest.
func awaitBytes(*net.TCPConn) error { return errors.ErrUnsupported }
