package caddymodule

import (
	"reflect"
	"unsafe"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// This file reaches into Caddy. Caddy has no hook between a server and its
// log: encoders and filters are the operator's to configure, and a product
// whose secrets are safe only with the right filter is not safe. So Provision
// replaces the loggers in fields that Caddy keeps to itself.
//
// It is done while a configuration is being provisioned, one module after the
// other on one goroutine, before anything of it runs: there is nobody to race
// with. Fields are found by name and type; where a future Caddy has others,
// nothing is touched, and a warning says what to configure instead.

// field returns a pointer to the named field of the struct that object points
// to; nil if there is no such field of type T.
func field[T any](object any, name string) *T {
	v := reflect.ValueOf(object)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	f := v.Elem().FieldByName(name)
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		return nil
	}
	return (*T)(unsafe.Pointer(f.UnsafeAddr())) // see above
}

// wrapSinks makes the logs of the configuration redact, for all loggers that
// are made after this: those of reverse_proxy, for one, which logs requests
// that it could not send on.
func (r *redactor) wrapSinks(ctx caddy.Context, log *zap.Logger) {
	config := field[*caddy.Config](&ctx, "cfg")
	if config == nil {
		warnUnredacted(log, "caddy.Context.cfg")
		return
	}
	if *config == nil || (*config).Logging == nil {
		return // a test, or a configuration without logs
	}
	for name, sink := range (*config).Logging.Logs {
		core := field[zapcore.Core](&sink.BaseLog, "core")
		if core == nil {
			warnUnredacted(log, "the core of log "+name)
			continue
		}
		*core = r.wrap(*core)
	}
}

// wrapServers makes the servers of the http app redact. Their loggers are made
// before handlers are provisioned; those of servers yet to come derive from
// the app's.
func (r *redactor) wrapServers(ctx caddy.Context, log *zap.Logger) {
	found := false
	for _, module := range ctx.Modules() {
		app, ok := module.(*caddyhttp.App)
		if !ok {
			continue
		}
		found = r.wrapLogger(app, "logger")
		for _, server := range app.Servers {
			found = r.wrapServer(server) && found
		}
	}
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && !found {
		found = r.wrapServer(server)
	}
	if !found {
		warnUnredacted(log, "the loggers of the http server")
	}
}

// loudEarly are handlers that log whole requests at level DEBUG and may stand
// before ours. Others are left alone: reverse_proxy, for one, uses its logger
// from goroutines that run as soon as it is provisioned.
var loudEarly = []string{"http.handlers.rewrite", "http.handlers.push"}

// wrapEarlier makes handlers redact that were provisioned before wrapSinks, as
// is so when the http app comes before ours.
func (r *redactor) wrapEarlier(ctx caddy.Context, log *zap.Logger) {
	instances := field[map[string][]caddy.Module](&ctx, "moduleInstances")
	if instances == nil {
		warnUnredacted(log, "caddy.Context.moduleInstances")
		return
	}
	for _, id := range loudEarly {
		for _, module := range (*instances)[id] {
			if !r.wrapLogger(module, "logger") {
				warnUnredacted(log, "the logger of "+id)
			}
		}
	}
}

func (r *redactor) wrapServer(server *caddyhttp.Server) bool {
	all := true
	for _, name := range []string{"logger", "accessLogger", "errorLogger", "traceLogger"} {
		all = r.wrapLogger(server, name) && all
	}
	return all
}

// wrapLogger wraps one logger, if it is there and not wrapped already. It
// returns false if there is no such field.
func (r *redactor) wrapLogger(object any, name string) bool {
	logger := field[*zap.Logger](object, name)
	if logger == nil {
		return false
	}
	if *logger != nil {
		*logger = (*logger).WithOptions(zap.WrapCore(r.wrap))
	}
	return true
}

func warnUnredacted(log *zap.Logger, what string) {
	unredacted.Add(1)
	log.Warn("can't keep API keys out of the log with this version of Caddy: "+what+" was not found; "+
		"configure the filter encoder for every log: request>headers>X-Api-Key delete, "+
		"and request>uri query { replace NAME REDACTED } for keys in the URL",
		zap.String("documentation", "https://caddyserver.com/docs/caddyfile/directives/log#filter"))
}
