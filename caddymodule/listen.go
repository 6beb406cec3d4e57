package caddymodule

import (
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
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

// It is also where a configuration whose app can't start is told from one that
// works before it has taken a single request: Caddy may start the servers first.

// keepSocket makes server accept from a socket that outlives it, and not before
// app has started. It returns nil where that is not possible.
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
// It is called at the start of a configuration, when the former one still
// runs, and has it see out its connections before it goes on. Where the app
// can't start, the former one goes on: Caddy hears of the error from the app.
func (k *socketKeeper) WrapListener(l net.Listener) net.Listener {
	if k.app.Start() != nil {
		return shut(l)
	}
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
	e.relieve()
	return e
}

// shutListener is a listener at which nothing arrives.
type shutListener struct {
	net.Listener // closed
	closed       chan struct{}
	closing      sync.Once
}

// shut closes l, and returns a listener in its place that accepts nothing until
// it is closed.
func shut(l net.Listener) net.Listener {
	_ = l.Close() // no connection of it was ever accepted
	return &shutListener{Listener: l, closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (s *shutListener) Accept() (net.Conn, error) {
	<-s.closed
	return nil, &net.OpError{Op: "accept", Net: s.Addr().Network(), Addr: s.Addr(), Err: net.ErrClosed}
}

// Close implements net.Listener.
func (s *shutListener) Close() error {
	s.closing.Do(func() { close(s.closed) })
	return nil
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
