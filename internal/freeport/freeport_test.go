package freeport

import (
	"fmt"
	"net"
	"slices"
	"testing"
)

func TestPortsAreFreeAndDifferAndAreNoneOfTheKernels(t *testing.T) {
	ports := Take(t, 50)
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 50 {
		t.Error("a port came twice")
	}
	for _, port := range ports {
		if port < first || port >= last {
			t.Errorf("port %d is one that the kernel gives away", port)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}

func TestAPortAtWhichSomethingListensIsNotFree(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if port := l.Addr().(*net.TCPAddr).Port; free(port) {
			t.Errorf("%s: port %d is free", address, port)
		}
		l.Close()
	}
	if got := Addresses(t, 2); len(got) != 2 || got[0] == got[1] {
		t.Errorf("addresses %v", got)
	}
}

func TestAPortBelongsToOneTestUntilItEnds(t *testing.T) {
	port := Take(t, 1)[0]
	if reserve(t, port) {
		t.Errorf("port %d was given away twice", port)
	}
	var theirs int
	t.Run("a test that ends", func(t *testing.T) { theirs = Take(t, 1)[0] })
	if !reserve(t, theirs) {
		t.Errorf("port %d is kept by a test that has ended", theirs)
	}
}
