package caddymodule

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// shared opens a socket that others may open beside it.
func shared(t *testing.T, address string, multipath bool) *net.TCPListener {
	t.Helper()
	config := net.ListenConfig{Control: reusePort}
	config.SetMultipathTCP(multipath)
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func TestConnectionsAreSteeredToTheFirstSocket(t *testing.T) {
	for _, c := range []struct {
		name, address string
		multipath     bool
	}{
		{"IPv4", "127.0.0.1:0", false},
		{"IPv4, Multipath TCP", "127.0.0.1:0", true},
		{"IPv6", "[::1]:0", false},
		{"any address", ":0", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := shared(t, c.address, c.multipath)
			d := &door{network: "tcp", socket: first, turn: make(chan struct{})}
			e := &entrance{Listener: first, door: d, arrivals: make(chan arrival)}
			d.entrances = []*entrance{e}
			d.steer()
			if !d.steered {
				t.Fatal("it can't be steered")
			}
			go d.accept()
			second := shared(t, first.Addr().String(), c.multipath)
			got := make(chan error)
			go func() {
				conn, err := second.Accept()
				if err == nil {
					conn.Close()
				}
				got <- err
			}()
			for range 50 {
				conn, err := net.Dial("tcp", first.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				select {
				case a := <-e.arrivals:
					a.conn.Close()
				case err := <-got:
					t.Fatalf("the second socket got a connection (%v)", err)
				}
				conn.Close()
			}
			second.Close()
			if err := <-got; err == nil {
				t.Error("the second socket got a connection")
			}
			doors.Lock()
			d.entrances = nil
			d.next()
			doors.Unlock()
			first.Close()
		})
	}
}

func TestWithASocketOfSomebodyElseNothingIsSteered(t *testing.T) {
	first := shared(t, "127.0.0.1:0", false)
	if !onlyOne(first.Addr()) {
		t.Error("one socket is not one")
	}
	shared(t, first.Addr().String(), false)
	if onlyOne(first.Addr()) {
		t.Error("two sockets are one")
	}
	d := &door{network: "tcp", socket: first}
	if d.steer(); d.steered {
		t.Error("connections are steered to who knows whom")
	}
	if onlyOne(&net.UnixAddr{Name: "/x"}) {
		t.Error("a unix socket has a port")
	}
}

func TestListenersAreCountedAsTheKernelWritesThem(t *testing.T) {
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue\n"
	for _, c := range []struct {
		name, text string
		want       int
	}{
		{"none", heading, 0},
		{"empty", "", 0},
		{"two, and another address", heading +
			"   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0\n   1: 0100007F:1F91 00000000:0000 0A 0:0 0:0\n" +
			"   2: 0100007F:1F90 00000000:0000 0A 0:0 0:0\n", 2},
		{"connections are not counted", heading +
			"   0: 0100007F:1F90 00000000:0000 0A 0:0 0:0\n   1: 0100007F:1F90 0100007F:9999 01 0:0 0:0\n" +
			"   2: 0100007F:1F90 00000000:0000 0A 0:0 0:0\n", 1},
		{"short lines", heading + "   0: 0100007F:1F90\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tcp")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := countListeners(file, "0100007F:1F90"); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
	if got := countListeners("/nowhere", ""); got != -1 {
		t.Errorf("without a table: %d, want -1", got)
	}
}
