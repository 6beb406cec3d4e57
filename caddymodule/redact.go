package caddymodule

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-keywarden/keywarden/internal/gate"
)

// redactor keeps secrets out of the log of one configuration. Caddy copies a
// request for its access and error logs before any handler sees it, and hides
// four headers only: without this, a plain `log` line would write every key
// that comes in X-API-Key or in a URL.
type redactor struct{ mask atomic.Pointer[mask] }

func newRedactor() *redactor {
	r := new(redactor)
	r.mask.Store(newMask())
	return r
}

// add makes r look where c looks. It is called by Provision only, one handler
// after the other.
func (r *redactor) add(c gate.Credentials) { r.mask.Store(r.mask.Load().with(c)) }

// wrap returns a core that writes to c without secrets; c itself if it is one.
func (r *redactor) wrap(c zapcore.Core) zapcore.Core {
	if c == nil {
		return nil
	}
	switch c.(type) {
	case *redactingCore, *laterCore:
		return c
	}
	return &redactingCore{core: c, redactor: r}
}

// redactingCore hides secrets in everything that passes through it. It does
// so when an entry is written, so that what is not logged costs nothing.
type redactingCore struct {
	core     zapcore.Core
	redactor *redactor
}

// Enabled implements zapcore.LevelEnabler.
func (c *redactingCore) Enabled(level zapcore.Level) bool { return c.core.Enabled(level) }

// With implements zapcore.Core.
func (c *redactingCore) With(fields []zapcore.Field) zapcore.Core {
	for i := range fields {
		if !canWait(fields[i]) {
			return &redactingCore{core: c.core.With(c.redactor.fields(fields)), redactor: c.redactor}
		}
	}
	return c.addLater(fields)
}

// Check implements zapcore.Core. The cores below must decide themselves: a
// Caddy logger is several, each with a filter of its own, which Write would
// pass by. So they are asked now, and written to, with clean fields, later.
func (c *redactingCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	below := c.core.Check(entry, nil)
	if below == nil {
		return checked
	}
	return checked.AddCore(entry, &acceptedEntry{redactingCore: c, below: below})
}

// Write implements zapcore.Core, for those who call it without Check.
func (c *redactingCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	entry.Message = c.redactor.mask.Load().text(entry.Message)
	return c.core.Write(entry, c.redactor.fields(fields))
}

// Sync implements zapcore.Core.
func (c *redactingCore) Sync() error { return c.core.Sync() }

// acceptedEntry is an entry that cores below have accepted. It is written
// once, as zap does with what Check returned.
type acceptedEntry struct {
	*redactingCore
	below *zapcore.CheckedEntry
}

// Write implements zapcore.Core.
func (a *acceptedEntry) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	// The logger has added the caller and the stack since.
	entry.Message = a.redactor.mask.Load().text(entry.Message)
	a.below.Entry = entry
	a.below.ErrorOutput = zapcore.Lock(os.Stderr)
	a.below.Write(a.redactor.fields(fields)...)
	return nil
}

// fields returns fields without secrets; the same slice if there were none.
func (r *redactor) fields(fields []zapcore.Field) []zapcore.Field {
	m := r.mask.Load()
	var out []zapcore.Field
	for i := range fields {
		clean, changed := m.field(fields[i])
		if !changed {
			continue
		}
		if out == nil {
			out = slices.Clone(fields)
		}
		out[i] = clean
	}
	if out == nil {
		return fields
	}
	return out
}

// field returns a field as a log may hold it, and whether that is another one.
func (m *mask) field(f zapcore.Field) (zapcore.Field, bool) {
	switch f.Type {
	case zapcore.StringType:
		clean := m.text(f.String)
		return zap.String(f.Key, clean), clean != f.String
	case zapcore.ByteStringType:
		text, _ := f.Interface.([]byte)
		clean := m.text(string(text))
		return zap.String(f.Key, clean), clean != string(text)
	case zapcore.ErrorType:
		return m.printed(f, f.Interface)
	case zapcore.StringerType:
		return m.printed(f, f.Interface)
	case zapcore.ObjectMarshalerType, zapcore.ArrayMarshalerType, zapcore.InlineMarshalerType, zapcore.ReflectType:
		return m.structured(f)
	}
	return f, false // numbers, times and the like
}

// printed replaces an error or a Stringer by its text, where that must change.
// An error may have a longer text for %+v, which zap writes too.
func (m *mask) printed(f zapcore.Field, value any) (clean zapcore.Field, changed bool) {
	// A method on a nil pointer may panic; zap writes something for it then.
	defer func() {
		if recover() != nil {
			clean, changed = f, false
		}
	}()
	text := fmt.Sprint(value)
	long := fmt.Sprintf("%+v", value)
	if m.text(text) == text && m.text(long) == long {
		return f, false
	}
	return zap.String(f.Key, m.text(text)), true
}

// structured cleans objects: Caddy's request and headers, which know their
// headers' names, and any other by what it writes.
func (m *mask) structured(f zapcore.Field) (zapcore.Field, bool) {
	switch v := f.Interface.(type) {
	case caddyhttp.LoggableHTTPRequest:
		f.Interface = m.request(v)
		return f, true
	case *caddyhttp.LoggableHTTPRequest:
		if v == nil {
			return f, false
		}
		f.Interface = m.request(*v)
		return f, true
	case caddyhttp.LoggableHTTPHeader:
		v.Header = m.allHeaders(v.Header)
		f.Interface = v
		return f, true
	case http.Header:
		f.Interface = m.allHeaders(v)
		return f, true
	case *redactedRequest:
		return f, false
	}
	return m.anything(f)
}

// redactedRequest is a request that may be logged; a second redactor on its
// way leaves it alone.
type redactedRequest struct{ caddyhttp.LoggableHTTPRequest }

// request returns r for the log. What it is made of belongs to others and
// stays as it is.
func (m *mask) request(r caddyhttp.LoggableHTTPRequest) *redactedRequest {
	if r.Request == nil {
		return &redactedRequest{r}
	}
	// A shallow copy: only what LoggableHTTPRequest writes is replaced.
	shown := r.Request.WithContext(r.Request.Context())
	shown.RequestURI = m.text(r.RequestURI)
	shown.Method = m.text(r.Method)
	shown.Host = m.text(r.Host)
	shown.Header = m.allHeaders(r.Header)
	return &redactedRequest{caddyhttp.LoggableHTTPRequest{Request: shown, ShouldLogCredentials: r.ShouldLogCredentials}}
}

func (m *mask) allHeaders(h http.Header) http.Header {
	out := maps.Clone(h)
	for name, values := range h {
		clean := m.header(name, values)
		if shown := m.text(name); shown != name {
			delete(out, name)
			name = shown
		}
		out[name] = clean
	}
	return out
}

// anything cleans a field by writing it to memory first. Only where that
// holds a secret is it replaced by what was written.
func (m *mask) anything(f zapcore.Field) (zapcore.Field, bool) {
	encoder := zapcore.NewMapObjectEncoder()
	f.AddTo(encoder)
	text, err := json.Marshal(encoder.Fields)
	if err != nil {
		return f, false // a log can't write it either
	}
	if m.text(string(text)) == string(text) {
		return f, false
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return zap.String(f.Key, redacted), true
	}
	clean, _ := m.tree(tree).(map[string]any)
	if f.Type == zapcore.InlineMarshalerType {
		return zap.Inline(treeMarshaler(clean)), true
	}
	return zap.Any(f.Key, clean[f.Key]), true
}

// tree cleans decoded JSON in place.
func (m *mask) tree(value any) any {
	switch v := value.(type) {
	case string:
		return m.text(v)
	case []any:
		for i := range v {
			v[i] = m.tree(v[i])
		}
	case map[string]any:
		for name, member := range v {
			v[name] = m.tree(member)
		}
	}
	return value
}

type treeMarshaler map[string]any

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (t treeMarshaler) MarshalLogObject(encoder zapcore.ObjectEncoder) error {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if err := encoder.AddReflected(name, t[name]); err != nil {
			return err
		}
	}
	return nil
}
