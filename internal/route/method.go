package route

import (
	"net/http"
	"strings"
)

// MethodWebSocket is the method that a rule names to mean WebSocket upgrades.
const MethodWebSocket = "WEBSOCKET"

// knownMethods are the methods that a rule may name: IANA's registry (without
// TRACE and CONNECT, which are always refused, and the registry's * and PRI),
// and PURGE, which caches use. A list, because a misspelt method would make a
// rule that restricts apply to nothing, silently.
var knownMethods = func() map[string]bool {
	known := make(map[string]bool)
	for m := range strings.FieldsSeq(`
		ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY
		MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PROPFIND PROPPATCH
		PURGE PUT QUERY REBIND REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF
		VERSION-CONTROL ` + MethodWebSocket) {
		known[m] = true
	}
	return known
}()

// Upgrade says to which protocol a request asks to be switched.
type Upgrade uint8

// The upgrades. Only WebSocketUpgrade can be let through (contract, section
// 2): any other one turns the connection into a tunnel that nobody judges.
const (
	NoUpgrade Upgrade = iota
	WebSocketUpgrade
	OtherUpgrade
)

// UpgradeOf reads the upgrade from a request. An Upgrade header counts even
// where Connection does not announce it: whether it then takes effect is a
// matter on which proxies differ. Over HTTP/2 and HTTP/3 an upgrade is an
// extended CONNECT (RFC 8441, RFC 9220), which Caddy's reverse proxy turns
// into the HTTP/1.1 form for the upstream.
func UpgradeOf(r *http.Request) Upgrade {
	values := r.Header["Upgrade"]
	if r.Method == http.MethodConnect {
		if len(values) == 0 && opensWebSocket(r) {
			return WebSocketUpgrade
		}
		return OtherUpgrade
	}
	pseudo := false
	if r.ProtoMajor != 1 { // HTTP/1 can't carry a name with a colon
		_, pseudo = r.Header[":protocol"]
	}
	switch {
	case len(values) == 0 && !pseudo:
		return NoUpgrade
	case len(values) == 1 && !pseudo && isWebSocket(values[0]) && r.Method == http.MethodGet:
		return WebSocketUpgrade
	}
	return OtherUpgrade
}

// isWebSocket compares in ASCII only: EqualFold alone would take a long s.
func isWebSocket(protocol string) bool {
	return len(protocol) == len("websocket") && strings.EqualFold(protocol, "websocket")
}

// opensWebSocket reports whether a CONNECT is one that Caddy's reverse proxy
// takes for a WebSocket.
func opensWebSocket(r *http.Request) bool {
	protocol := r.Header[":protocol"]
	return r.ProtoMajor == 2 && len(protocol) == 1 && protocol[0] == "websocket" ||
		r.ProtoMajor == 3 && r.Proto == "websocket" && len(protocol) <= 1
}

// MethodAllowed reports whether the method may be used at all: TRACE and
// CONNECT may not, in any letter case, except a CONNECT that opens a
// WebSocket over HTTP/2 or HTTP/3, which is an upgrade under another name.
func MethodAllowed(r *http.Request) bool {
	switch {
	case strings.EqualFold(r.Method, http.MethodTrace):
		return false
	case strings.EqualFold(r.Method, http.MethodConnect):
		return UpgradeOf(r) == WebSocketUpgrade
	}
	return true
}

// readsByDefault reports whether a method reads where no rule says otherwise. Methods
// are case-sensitive (RFC 9110, section 9.1): "get" is not GET, and writes.
func readsByDefault(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
