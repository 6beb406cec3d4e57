package caddymodule

import (
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// This file makes reloads keep the sockets that connections come in by. Caddy
// opens each address anew at a reload and closes the socket it had: whatever
// the kernel has put into the queue of the old one is reset. With 200 clients
// that opened a connection for each request, a reload cost 80 requests.
//
// So the socket that was opened first stays (see door), and the servers of old
// and new configurations take turns at it. Operators could be told to
// configure a listener wrapper, but one who knows nothing must lose nothing:
// like the logs in redact_reach.go, it is put into a field that Caddy keeps to
// itself, and where a future Caddy has no such field, a warning says so.

// A configuration takes its turn when all of it has started, which Caddy tells by
// an event: servers that are started before something else fails, such as the
// opening of the store, have then taken no request.

// keepSocket makes server accept from a socket that outlives it, from when app
// tells it to. It returns nil where that is not possible.
func keepSocket(server *caddyhttp.Server, app *App, log *zap.Logger) *socketKeeper {
	if server == nil {
		return nil // a test without a server
	}
	wrappers := field[[]caddy.ListenerWrapper](server, "listenerWrappers")
	if wrappers == nil {
		log.Warn("can't keep sockets open with this version of Caddy: a reload may reset connections " +
			"that are being opened; caddyhttp.Server.listenerWrappers was not found")
		return nil
	}
	for _, w := range *wrappers {
		if keeper, ok := w.(*socketKeeper); ok {
			return keeper // another handler of this server did it
		}
	}
	// First of all, before TLS: what is kept is the bare socket.
	keeper := &socketKeeper{server: server, app: app, log: log}
	*wrappers = slices.Insert(slices.Clone(*wrappers), 0, caddy.ListenerWrapper(keeper))
	server.RegisterConnState(noteState)
	server.RegisterConnContext(watchClient)
	return keeper
}

// socketKeeper is the listener wrapper of one server.
type socketKeeper struct {
	server *caddyhttp.Server
	app    *App
	log    *zap.Logger
	// relieved says that another configuration is taking over.
	relieved atomic.Bool
}

// WrapListener implements caddy.ListenerWrapper. Caddy may call it twice, the
// second time after TLS; what is no bare TCP socket is returned as it is.
//
// It is called at the start of a configuration, when the former one still runs.
func (k *socketKeeper) WrapListener(l net.Listener) net.Listener {
	socket, name := bareSocket(l)
	if socket == nil {
		return l
	}
	e := &entrance{
		Listener: l, keeper: k, keepAlive: k.keepAlive(), idle: time.Duration(k.server.IdleTimeout),
		arrivals: make(chan arrival), closed: make(chan struct{}), guests: map[*guest]struct{}{},
	}
	if err := e.enter(name, socket); err != nil {
		k.log.Warn("a reload may reset connections that are being opened",
			zap.String("address", l.Addr().String()), zap.Error(err))
		return l
	}
	k.app.entrances = append(k.app.entrances, e)
	return e
}

// bareSocket returns the socket behind a listener of Caddy, and the name that
// Caddy has for the address; nil where Caddy has no socket of its own for each
// configuration: on Windows, and with unix sockets and inherited ones.
func bareSocket(l net.Listener) (*net.TCPListener, string) {
	v := reflect.ValueOf(l)
	if v.Kind() != reflect.Struct || v.Type().Name() != "deleteListener" {
		return nil, ""
	}
	inner, name := v.FieldByName("Listener"), v.FieldByName("lnKey")
	if !inner.IsValid() || !name.IsValid() || name.Kind() != reflect.String {
		return nil, ""
	}
	socket, ok := inner.Interface().(*net.TCPListener)
	if !ok || caddy.IsFdNetwork(networkOf(name.String())) {
		return nil, ""
	}
	return socket, name.String()
}

// networkOf returns the network in Caddy's name for an address.
func networkOf(name string) string {
	network, _, _, err := caddy.SplitNetworkAddress(name)
	if err != nil {
		return ""
	}
	return network
}

// keepAlive is what the configuration says of TCP keep-alive, as Caddy reads
// it; nil for what connections have anyway.
func (k *socketKeeper) keepAlive() *net.KeepAliveConfig {
	s := k.server
	if s.KeepAliveInterval == 0 && s.KeepAliveIdle == 0 && s.KeepAliveCount == 0 {
		return nil
	}
	return &net.KeepAliveConfig{
		Enable:   s.KeepAliveInterval >= 0,
		Interval: time.Duration(s.KeepAliveInterval),
		Idle:     time.Duration(s.KeepAliveIdle),
		Count:    s.KeepAliveCount,
	}
}

// partWith asks an HTTP/1 client on a connection that can't move to the next
// configuration to open another one for its next request, when that
// configuration is about to take over.
func (k *socketKeeper) partWith(w http.ResponseWriter, r *http.Request) {
	if k != nil && k.relieved.Load() && r.TLS != nil && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
}

var _ caddy.ListenerWrapper = (*socketKeeper)(nil)
