package route

import "net/http"

// Headers is what the headers of a request say on how it is to be read. It is
// filled by Note with each of them: names that stand in many spellings can't
// be looked up, and one pass over the map serves others beside. The zero
// Headers has seen none.
type Headers struct {
	overrides [len(overrideHeaders)]int
	// strange is 1 + the index of a header whose value is not the method.
	strange  int
	upgrade  []string
	protocol []string
	extended bool // there is a :protocol, though perhaps without a value
}

// headersOf notes all headers of r.
func headersOf(r *http.Request) Headers {
	var h Headers
	for name, values := range r.Header {
		h.Note(r.Method, name, values)
	}
	return h
}

// Note takes up one header of a request with the given method.
func (h *Headers) Note(method, name string, values []string) {
	if len(name) >= len("Upgrade") && telling[name[0]] {
		h.note(method, name, values)
	}
}

// telling marks how the names begin that say something.
var telling = [256]bool{'X': true, 'x': true, 'U': true, ':': true}

func (h *Headers) note(method, name string, values []string) {
	switch name {
	case "Upgrade":
		h.upgrade = values
	case ":protocol":
		h.protocol, h.extended = values, true
	default:
		h.noteOverride(method, name, values)
	}
}

func (h *Headers) noteOverride(method, name string, values []string) {
	i := overrideHeader(name)
	if i < 0 {
		return
	}
	h.overrides[i] += len(values)
	for _, v := range values {
		if v != method {
			h.strange = 1 + i
		}
	}
}

// Fault returns why the upstream could take another method than that of the
// request, in words for the caller; "" if it could not.
func (h *Headers) Fault() string {
	for i, n := range h.overrides {
		if n > 1 {
			return "the header " + overrideHeaders[i] + " is there more than once"
		}
	}
	if h.strange > 0 {
		return "the header " + overrideHeaders[h.strange-1] + " differs from the method"
	}
	return ""
}

// Upgrade returns the upgrade that r, whose headers these are, asks for. An
// Upgrade header counts even where Connection does not announce it: whether
// it then takes effect is a matter on which proxies differ. Over HTTP/2 and
// HTTP/3 an upgrade is an extended CONNECT (RFC 8441, RFC 9220), which Caddy's
// reverse proxy turns into the HTTP/1.1 form for the upstream.
func (h *Headers) Upgrade(r *http.Request) Upgrade {
	if r.Method == http.MethodConnect {
		if len(h.upgrade) == 0 && h.opensWebSocket(r) {
			return WebSocketUpgrade
		}
		return OtherUpgrade
	}
	extended := h.extended && r.ProtoMajor != 1 // HTTP/1 can't carry a name with a colon
	switch {
	case len(h.upgrade) == 0 && !extended:
		return NoUpgrade
	case len(h.upgrade) == 1 && !extended && isWebSocket(h.upgrade[0]) && r.Method == http.MethodGet:
		return WebSocketUpgrade
	}
	return OtherUpgrade
}

// opensWebSocket reports whether a CONNECT is one that Caddy's reverse proxy
// takes for a WebSocket.
func (h *Headers) opensWebSocket(r *http.Request) bool {
	return r.ProtoMajor == 2 && len(h.protocol) == 1 && h.protocol[0] == "websocket" ||
		r.ProtoMajor == 3 && r.Proto == "websocket" && len(h.protocol) <= 1
}
