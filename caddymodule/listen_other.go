//go:build !linux

package caddymodule

import (
	"errors"
	"net"
	"syscall"
)

// Steering needs Linux. Elsewhere what arrives in the moment in which a reload
// has two sockets open may be reset.

func onlyOne(net.Addr) bool { return false }

func steer(*net.TCPListener) error { return errors.ErrUnsupported }

func reusePort(string, string, syscall.RawConn) error { return errors.ErrUnsupported }
