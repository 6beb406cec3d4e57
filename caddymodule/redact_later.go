package caddymodule

import (
	"net/http"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap/zapcore"
)

// laterCore is a core with fields that are cleaned and encoded when an entry is
// written. reverse_proxy adds each request that it has sent to a logger that it
// hardly ever writes to: bare Caddy encodes it, which is 6 % of the instructions
// that a proxied request takes.
type laterCore struct {
	before *redactingCore
	fields []zapcore.Field
	// room is for as many fields as reverse_proxy adds.
	room  [3]zapcore.Field
	once  sync.Once
	after *redactingCore
}

// addLater returns c with fields, all of which can wait.
func (c *redactingCore) addLater(fields []zapcore.Field) zapcore.Core {
	later := &laterCore{before: c}
	later.fields = append(later.room[:0], fields...)
	for i := range later.fields {
		if f := &later.fields[i]; f.Type == zapcore.ObjectMarshalerType && !isSent(f.Interface) {
			// Somebody may change it: what is logged is how it was.
			*f, _ = c.redactor.mask.Load().structured(*f)
		}
	}
	return later
}

// canWait reports whether a field will read the same later: requests, of which
// there is a copy or need not be one, and what does not point to anything.
func canWait(f zapcore.Field) bool {
	switch f.Type {
	case zapcore.ObjectMarshalerType:
		switch f.Interface.(type) {
		case caddyhttp.LoggableHTTPRequest, *redactedRequest:
			return true
		}
	case zapcore.BoolType, zapcore.DurationType, zapcore.Float64Type, zapcore.Int64Type, zapcore.StringType, zapcore.TimeType, zapcore.Uint64Type:
		return true
	}
	return false
}

// isSent reports whether value is a request as reverse_proxy has sent it: a
// copy of its own, with headers of its own, that nobody changes any more.
func isSent(value any) bool {
	r, ok := value.(caddyhttp.LoggableHTTPRequest)
	return ok && isOutgoing(r.Request)
}

func isOutgoing(r *http.Request) bool {
	if r == nil {
		return false
	}
	_, ok := reverseproxy.GetDialInfo(r.Context())
	return ok
}

// ready encodes the fields, once.
func (c *laterCore) ready() *redactingCore {
	c.once.Do(func() {
		c.after = &redactingCore{core: c.before.core.With(c.before.redactor.fields(c.fields)), redactor: c.before.redactor}
	})
	return c.after
}

// Enabled implements zapcore.LevelEnabler. No field changes a level.
func (c *laterCore) Enabled(level zapcore.Level) bool { return c.before.Enabled(level) }

// With implements zapcore.Core.
func (c *laterCore) With(fields []zapcore.Field) zapcore.Core { return c.ready().With(fields) }

// Check implements zapcore.Core.
func (c *laterCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) {
		return checked
	}
	return c.ready().Check(entry, checked)
}

// Write implements zapcore.Core.
func (c *laterCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	return c.ready().Write(entry, fields)
}

// Sync implements zapcore.Core.
func (c *laterCore) Sync() error { return c.before.Sync() }
