package permission

// Within reports whether other gives everything that s gives, on all APIs,
// those not declared yet included.
func (s *Set) Within(other *Set) bool {
	switch s.Mode {
	case All:
		return other.Mode == All
	case ReadOnly:
		return other.Mode == All || other.Mode == ReadOnly
	case Restricted:
	default:
		return true // it gives nothing
	}
	for i := range s.APIs {
		if !s.APIs[i].within(other) {
			return false
		}
	}
	return true
}

func (g *Grant) within(other *Set) bool {
	if !g.ByEndpoint {
		return g.Access <= other.whole(g.API)
	}
	for _, e := range g.Endpoints {
		if e.Access > other.For(g.API, e.Endpoint) {
			return false
		}
	}
	return true
}

// whole returns the access that s gives on the whole of an API.
func (s *Set) whole(api string) Access {
	if s.Mode == Restricted {
		if g := s.grant(api); g != nil && g.ByEndpoint {
			return None
		}
	}
	return s.For(api, "")
}
