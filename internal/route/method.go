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

// UpgradeOf reads the upgrade from a request: see Headers.Upgrade.
func UpgradeOf(r *http.Request) Upgrade {
	h := headersOf(r)
	return h.Upgrade(r)
}

// isWebSocket compares in ASCII only: EqualFold alone would take a long s.
func isWebSocket(protocol string) bool {
	return len(protocol) == len("websocket") && strings.EqualFold(protocol, "websocket")
}

// MethodAllowed reports whether the method may be used at all: TRACE and
// CONNECT may not, in any letter case, except a CONNECT that opens a
// WebSocket over HTTP/2 or HTTP/3, which is an upgrade under another name.
func MethodAllowed(r *http.Request) bool {
	switch len(r.Method) {
	case len(http.MethodTrace):
		return !strings.EqualFold(r.Method, http.MethodTrace)
	case len(http.MethodConnect):
		return !strings.EqualFold(r.Method, http.MethodConnect) || UpgradeOf(r) == WebSocketUpgrade
	}
	return true
}

// readsByDefault reports whether a method reads where no rule says otherwise. Methods
// are case-sensitive (RFC 9110, section 9.1): "get" is not GET, and writes.
func readsByDefault(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
