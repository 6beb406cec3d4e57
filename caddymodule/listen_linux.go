package caddymodule

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// reusePort lets several sockets listen at one address, as Caddy's do.
func reusePort(_, _ string, c syscall.RawConn) (err error) {
	return errors.Join(c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}), err)
}

// steer makes the kernel give all connections to the socket that was the first
// at the address of this one. It holds for sockets that come later, and as
// long as there is one (socket(7), SO_ATTACH_REUSEPORT_CBPF).
func steer(socket *net.TCPListener) error {
	c, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("steering connections: %w", err)
	}
	first := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	program := unix.SockFprog{Len: 1, Filter: &first}
	controlled := c.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &program)
	})
	return errors.Join(controlled, err)
}

// onlyOne reports whether just one socket listens at an address. With others, of
// another process, nobody can say which one is the first.
func onlyOne(a net.Addr) bool {
	address, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	ip, table := address.IP.To4(), "/proc/net/tcp"
	if ip == nil {
		ip, table = address.IP.To16(), "/proc/net/tcp6"
	}
	var local strings.Builder
	for ; len(ip) >= 4; ip = ip[4:] {
		fmt.Fprintf(&local, "%08X", binary.NativeEndian.Uint32(ip))
	}
	fmt.Fprintf(&local, ":%04X", address.Port)
	return countListeners(table, local.String()) == 1
}

// countListeners counts the sockets that listen at a local address, as the
// kernel writes it; -1 where it does not say. Those that listen come first,
// before what may be a million connections (proc(5), /proc/net/tcp).
func countListeners(table, local string) int {
	const listening = "0A"
	file, err := os.Open(table)
	if err != nil {
		return -1
	}
	defer file.Close()
	lines, n := bufio.NewScanner(file), 0
	lines.Scan() // the heading
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 4 || words[3] != listening {
			break
		}
		if words[1] == local {
			n++
		}
	}
	if lines.Err() != nil {
		return -1
	}
	return n
}
