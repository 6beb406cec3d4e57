package keys

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MaxSources is how many networks a key may be limited to.
const MaxSources = 64

// Sources are the networks from which a key may be used; the zero Sources are
// all of them. They are packed into one text, 17 bytes a network, so that an
// Identity in the cache is one flat thing whether its key is limited or not,
// and Sources can be compared with ==.
type Sources string

// A packed network: its address, IPv4 as ::ffff:a.b.c.d, and the length of the
// prefix in its own family, to which ofIPv4 is added for IPv4: IPv6 has lengths
// up to 128.
const (
	packedSource = 17
	ofIPv4       = 129
)

// ParseSources reads networks in CIDR notation (RFC 4632, RFC 4291), and
// addresses, which stand for themselves alone. It returns each network once,
// in the order given, and the fault of each text, by its place.
func ParseSources(list []string) (Sources, map[int]error) {
	faults := map[int]error{}
	var packed strings.Builder
	for i, text := range list {
		network, err := parseSource(text)
		if err != nil {
			faults[i] = err
			continue
		}
		if one := packSource(network); !Sources(packed.String()).has(one) {
			packed.WriteString(one)
		}
	}
	if len(faults) > 0 {
		return "", faults
	}
	return Sources(packed.String()), nil
}

func parseSource(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("expected a network without a zone")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errors.New(`expected a network in CIDR notation, such as "203.0.113.0/24" or "2001:db8::/32", or an address`)
	}
	if addr := network.Addr(); addr.Is4In6() {
		const mapped = 96 // bits before an IPv4 address in IPv6 (RFC 4291, section 2.5.5.2)
		if network.Bits() < mapped {
			return netip.Prefix{}, errors.New("holds a part of the addresses of IPv4 mapped to IPv6; write the IPv4 network, such as 0.0.0.0/0")
		}
		network = netip.PrefixFrom(addr.Unmap(), network.Bits()-mapped)
	}
	if whole := network.Masked(); whole != network {
		return netip.Prefix{}, fmt.Errorf("has address bits behind its length; expected %s for the network, or %s for the one address",
			whole, network.Addr())
	}
	return network, nil
}

func packSource(network netip.Prefix) string {
	bits := network.Bits()
	if network.Addr().Is4() {
		bits += ofIPv4
	}
	addr := network.Addr().As16()
	return string(append(addr[:], byte(bits))) //nolint:gosec // G115: at most ofIPv4 + 32
}

func (s Sources) has(one string) bool {
	for rest := s; rest != ""; rest = rest[packedSource:] {
		if string(rest[:packedSource]) == one {
			return true
		}
	}
	return false
}

// Prefixes returns the networks; none for a key that may be used from
// everywhere.
func (s Sources) Prefixes() []netip.Prefix {
	networks := make([]netip.Prefix, 0, len(s)/packedSource)
	for rest := s; rest != ""; rest = rest[packedSource:] {
		networks = append(networks, rest.first())
	}
	return networks
}

// first unpacks the first network.
func (s Sources) first() netip.Prefix {
	addr, bits := netip.AddrFrom16([16]byte([]byte(s[:16]))), int(s[16])
	if bits >= ofIPv4 {
		addr, bits = addr.Unmap(), bits-ofIPv4
	}
	return netip.PrefixFrom(addr, bits)
}

// Strings returns the networks in CIDR notation, never nil.
func (s Sources) Strings() []string {
	texts := make([]string, 0, len(s)/packedSource)
	for _, network := range s.Prefixes() {
		texts = append(texts, network.String())
	}
	return texts
}

// String joins the networks with spaces; stores keep them so.
func (s Sources) String() string { return strings.Join(s.Strings(), " ") }

// Contain reports whether a key limited to s may be used from the address, as
// text; "" and what is no address are contained in no network. A zone is not
// looked at, and an IPv4 address mapped to IPv6 is the IPv4 address.
func (s Sources) Contain(address string) bool {
	if s == "" {
		return true
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	addr = addr.WithZone("").Unmap()
	for rest := s; rest != ""; rest = rest[packedSource:] {
		if rest.first().Contains(addr) {
			return true
		}
	}
	return false
}
