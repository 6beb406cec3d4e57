package keys

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func sourcesOf(t testing.TB, list ...string) Sources {
	t.Helper()
	s, faults := ParseSources(list)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return s
}

func TestSourcesAreNormalised(t *testing.T) {
	for _, c := range []struct{ given, want []string }{
		{nil, []string{}},
		{[]string{"10.0.0.0/8"}, []string{"10.0.0.0/8"}},
		{[]string{"203.0.113.7"}, []string{"203.0.113.7/32"}},
		{[]string{"2001:DB8:0::/32", "2001:db8::1"}, []string{"2001:db8::/32", "2001:db8::1/128"}},
		{[]string{"::ffff:10.0.0.0/104", "::ffff:192.0.2.1"}, []string{"10.0.0.0/8", "192.0.2.1/32"}},
		{[]string{"10.0.0.0/8", "::ffff:10.0.0.0/104", "10.0.0.0/8"}, []string{"10.0.0.0/8"}},
		{[]string{"0.0.0.0/0", "::/0"}, []string{"0.0.0.0/0", "::/0"}},
		{[]string{"::/8", "10.0.0.0/8"}, []string{"::/8", "10.0.0.0/8"}},
	} {
		s := sourcesOf(t, c.given...)
		if diff := cmp.Diff(c.want, s.Strings()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.given, diff)
		}
		if again := sourcesOf(t, strings.Fields(s.String())...); again != s {
			t.Errorf("%v reads back as %s", c.given, again)
		}
	}
}

func TestFaultySourcesNameTheRightForm(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.5/8":            "expected 10.0.0.0/8 for the network, or 10.0.0.5 for the one address",
		"2001:db8::1/32":        "expected 2001:db8::/32 for the network, or 2001:db8::1",
		"::ffff:10.0.0.5/104":   "expected 10.0.0.0/8 for the network",
		"::ffff:0:0/90":         "write the IPv4 network, such as 0.0.0.0/0",
		"fe80::1%eth0":          "without a zone",
		"fe80::%eth0/64":        "without a zone",
		"10.0.0.0/33":           "in CIDR notation",
		"10.0.0.0/-1":           "in CIDR notation",
		"10.0.0.0/08":           "in CIDR notation",
		"010.0.0.0/8":           "in CIDR notation",
		"10.0.0.0/8 ":           "in CIDR notation",
		"10.0.0.0/255.0.0.0":    "in CIDR notation",
		"":                      "in CIDR notation",
		"*":                     "in CIDR notation",
		"example.com":           "in CIDR notation",
		"10.0.0.0/8,11.0.0.0/8": "in CIDR notation",
	} {
		s, faults := ParseSources([]string{"192.0.2.0/24", text})
		if s != "" || len(faults) != 1 || faults[1] == nil || !strings.Contains(faults[1].Error(), want) {
			t.Errorf("%q: %v, %v", text, s, faults)
		}
	}
}

func TestAddressesAreJudgedByTheirFamily(t *testing.T) {
	s := sourcesOf(t, "10.0.0.0/8", "203.0.113.7", "2001:db8::/32", "fe80::/10")
	for address, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "203.0.113.7": true, "2001:db8:ffff::1": true, "::ffff:10.1.2.3": true,
		"fe80::1%eth0": true, "fe80::1": true, "::ffff:a01:203": true,
		"11.0.0.0": false, "203.0.113.8": false, "2001:db9::": false, "::ffff:11.0.0.0": false, "::10.0.0.1": false,
		"": false, "@": false, "/run/a.sock": false, "10.0.0.1:80": false, "[2001:db8::1]": false, "10.0.0.1 ": false, "010.0.0.1": false,
	} {
		if got := s.Contain(address); got != want {
			t.Errorf("%q: %t", address, got)
		}
	}
	for _, address := range []string{"", "@", "203.0.113.99", "nonsense"} {
		if !Sources("").Contain(address) {
			t.Errorf("a key without limits is refused from %q", address)
		}
	}
	if sourcesOf(t, "::/0").Contain("10.0.0.1") || sourcesOf(t, "0.0.0.0/0").Contain("2001:db8::1") {
		t.Error("all of one family holds an address of the other")
	}
}

// The packed form says what package netip says.
func TestPackedSourcesAgreeWithNetip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var networks []netip.Prefix
		var texts []string
		for range rapid.IntRange(1, MaxSources).Draw(rt, "networks") {
			network := netip.PrefixFrom(drawAddr(rt), 0)
			network = netip.PrefixFrom(network.Addr(), rapid.IntRange(0, network.Addr().BitLen()).Draw(rt, "bits")).Masked()
			networks, texts = append(networks, network), append(texts, network.String())
		}
		s, faults := ParseSources(texts)
		if len(faults) > 0 {
			rt.Fatal(faults)
		}
		addr := drawAddr(rt)
		want := false
		for _, network := range networks {
			want = want || network.Contains(addr)
		}
		if got := s.Contain(addr.String()); got != want {
			rt.Fatalf("%s in %s: %t, want %t", addr, s, got, want)
		}
	})
}

// drawAddr draws addresses that are often near each other.
func drawAddr(rt *rapid.T) netip.Addr {
	low := rapid.SampledFrom([]byte{0, 1, 127, 255})
	if rapid.Bool().Draw(rt, "v4") {
		return netip.AddrFrom4([4]byte{10, low.Draw(rt, "b"), low.Draw(rt, "c"), low.Draw(rt, "d")})
	}
	return netip.AddrFrom16([16]byte{0x20, low.Draw(rt, "b"), low.Draw(rt, "c"), 15: low.Draw(rt, "d")})
}

func TestContainDoesNotAllocate(t *testing.T) {
	list := make([]string, MaxSources)
	for i := range list {
		list[i] = fmt.Sprintf("2001:db8:%x::/48", i)
	}
	s := sourcesOf(t, list...)
	if n := testing.AllocsPerRun(100, func() { s.Contain("203.0.113.7") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
