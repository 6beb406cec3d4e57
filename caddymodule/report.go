package caddymodule

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-keywarden/keywarden/config"
	"github.com/caddy-keywarden/keywarden/internal/gate"
)

// reportHeader tells testers what would have become of their request.
const reportHeader = "Keywarden-Would-Refuse"

// Of requests that would have been refused with one code, the first few of each
// minute are logged: who is put behind keys may have no caller with one yet.
const (
	reportEvery = time.Minute
	reportFirst = 10
)

// sampled returns a logger for those.
func sampled(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, reportEvery, reportFirst, 0)
	}))
}

// reports says that h lets every request pass.
func (h *Auth) reports() bool { return h.Enforce == config.EnforceOff }

// warn says, loudly, that nothing is guarded.
func (h *Auth) warn() {
	if h.reports() {
		h.reportLog = sampled(h.log)
		h.log.Warn("enforce off: EVERY request is let through, with or without a key; what would be refused is only counted and logged. Remove enforce off to guard what is behind it",
			zap.Int("apis", len(h.APIs)))
	}
}

// report lets a request pass whatever the decision is, as if this handler were
// not there: ambiguous ones, TRACE and CONNECT, and all while the store can't be
// asked, too. What it takes from requests is only what no client may say, and
// secrets of ours; a credential of another kind may be what the upstream itself
// asks for, as it has done so far.
func (h *Auth) report(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	now := time.Now()
	body := recordBody(r)
	d := h.decide(r, now)
	body.giveBack(r)
	record := h.apis[d.API]
	record.counters.add(d.Needs, d.Outcome)
	if d.Asked {
		cacheCounters[d.Found].Inc()
	}
	if !h.ForwardCredential {
		h.stripOurs(r, &d)
	}
	if works(&d) {
		c, vars := h.introduce(r, &d)
		c.announce(r, vars, &d, record)
	}
	if !d.Allowed() {
		h.tell(w, r, &d)
	}
	return next.ServeHTTP(w, r)
}

// works reports whether the request has a key that works, whatever it may do.
func works(d *gate.Decision) bool {
	switch d.Outcome {
	case gate.DisabledKey, gate.ExpiredKey, gate.SourceNotAllowed:
		return false
	}
	return d.Key != nil
}

// stripOurs removes the credential where it is a key of ours.
func (h *Auth) stripOurs(r *http.Request, d *gate.Decision) {
	if d.Key != nil { // also one of another form, which was imported
		h.strip(r)
		return
	}
	h.stripBy(r, (*gate.Gate).StripOwn)
}

// tell says what would have been refused. The path is the caller's, without the
// query, in which secrets stand.
func (h *Auth) tell(w http.ResponseWriter, r *http.Request, d *gate.Decision) {
	if h.ReportHeader {
		w.Header().Set(reportHeader, d.Outcome.Code())
	}
	entry := h.reportLog.Check(zapcore.InfoLevel, "would refuse: "+d.Outcome.Code())
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String("code", d.Outcome.Code()), zap.String("detail", d.Detail()),
		zap.String("method", r.Method), zap.String("path", shown(r.URL.Path)), zap.String("client_ip", clientIP(r)),
	}
	if d.Key != nil {
		fields = append(fields, zap.String("api_key_id", string(d.Key.ID())))
	}
	if d.API != "" {
		fields = append(fields, zap.String("api", d.API), zap.String("endpoint", shown(d.Endpoint)),
			zap.Stringer("needs", d.Needs), zap.Stringer("has", d.Has))
	}
	entry.Write(fields...)
}

// shown cuts a text that a caller may have made long.
func shown(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// recorded is a body that remembers what was read of it: a decision that ends
// in the middle must not keep the upstream from the whole.
type recorded struct {
	io.ReadCloser
	read bytes.Buffer
	err  error // that ended it
}

// recordBody puts itself in the place of r's body; nil if there is none.
func recordBody(r *http.Request) *recorded {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &recorded{ReadCloser: r.Body}
	r.Body = b
	return b
}

// Read implements io.Reader.
func (b *recorded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	if err != nil {
		b.err = err
	}
	return n, err
}

// giveBack makes r's body what it was, from the beginning.
func (b *recorded) giveBack(r *http.Request) {
	if b == nil || r.Body != io.ReadCloser(b) { // the gate has put it back itself
		return
	}
	r.Body = b.ReadCloser
	if b.read.Len() > 0 || b.err != nil {
		r.Body = &replayed{io.MultiReader(&b.read, &rest{b}), b.ReadCloser}
	}
}

type replayed struct {
	io.Reader
	io.Closer
}

// rest is what was not read yet of a body, or why there is no more.
type rest struct{ *recorded }

func (b *rest) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return b.ReadCloser.Read(p)
}
