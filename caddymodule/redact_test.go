package caddymodule

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// logged has a log line of everything into one file, and the proxy before an
// upstream that does not answer.
const logged = `
	log {
		output file {$DIR}/access.log
		format FORMAT
	}
	rewrite /rewritten /rest/a?{query}
	api_key_auth {
		credentials bearer header X-API-Key header X-Legacy query key basic
		public /healthz
		api rest {
			path /rest/*
		}
	}
	handle /rest/down {
		reverse_proxy 127.0.0.1:1 {
			header_up X-Leak {http.request.orig_uri}
		}
	}
	handle /rest/echo {
		header X-Echo {http.request.orig_uri.query.key}
		redir https://elsewhere.example/?{http.request.orig_uri.query}
	}
	log_append orig {http.request.orig_uri}
	log_append query {http.request.uri.query.key}
	log_append header {http.request.header.X-API-Key}
	reverse_proxy {$UPSTREAM}
`

const logGlobal = "debug\nlog {\noutput file {$DIR}/all.log\nformat FORMAT\nlevel DEBUG\n}\n"

// TestNoSecretIsLogged sends secrets everywhere that one can be sent, with the
// logs turned up, and then looks for them.
func TestNoSecretIsLogged(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		for _, credentials := range []string{"", "servers {\nlog_credentials\ntrace\n}\n"} {
			t.Run(fmt.Sprintf("%s, log_credentials %t", format, credentials != ""), func(t *testing.T) {
				testNoSecretIsLogged(t, format, credentials)
			})
		}
	}
}

func testNoSecretIsLogged(t *testing.T, format, credentials string) {
	withFormat := strings.NewReplacer("FORMAT", format)
	s := newSite(t, credentials+withFormat.Replace(logGlobal), withFormat.Replace(logged))
	_, stored := s.key()
	legacy, err := keys.ForeignSecret("legacy-0123456789-secret")
	if err != nil {
		t.Fatal(err)
	}
	s.keyWith(legacy)
	_, unknown := s.key(func(k *keys.Key) { k.Enabled = false })
	secrets := []string{stored, unknown, legacy.Reveal()}
	answered := 0
	for _, secret := range secrets {
		basic := base64.StdEncoding.EncodeToString([]byte(secret + ":"))
		for _, target := range []string{"/rest/a", "/rest/down", "/rest/echo", "/healthz", "/nowhere", "/rewritten", "/rest/a%2Fb"} {
			for _, edit := range []func(*http.Request){
				bearer(secret), header("Authorization", "Basic "+basic), header("X-API-Key", secret), header("X-Legacy", secret),
				header("Referer", "https://x.example/?key="+secret), header("X_API_Key", secret), header("Proxy-Authorization", "Bearer "+secret),
				func(r *http.Request) { r.URL.RawQuery = "key=" + secret },
				func(r *http.Request) { r.URL.RawQuery = "%6bEy=1&%6bey=" + strings.Replace(secret, "_", "%5f", 1) },
				func(r *http.Request) { header("X-API-Key", secret)(r); bearer(secret)(r) },
			} {
				s.do("GET", target, edit)
				answered++
			}
		}
	}
	if err := caddy.Stop(); err != nil { // writes out what is buffered
		t.Fatal(err)
	}
	access, all := s.file("access.log"), s.file("all.log")
	if n := strings.Count(access, "handled request"); n != answered {
		t.Errorf("%d requests are in the access log, want %d", n, answered)
	}
	if !strings.Contains(all, "connection refused") {
		t.Error("the 502 is not in the log, so the test proves nothing")
	}
	for _, secret := range secrets {
		basic := base64.StdEncoding.EncodeToString([]byte(secret + ":"))
		for _, form := range []string{secret, strings.Replace(secret, "_", "%5f", 1), basic, secret[len(secret)-20:]} {
			for name, log := range map[string]string{"access.log": access, "all.log": all} {
				if i := strings.Index(log, form); i >= 0 {
					t.Errorf("%s holds %s:\n…%s…", name, form, line(log, i))
				}
			}
		}
	}
}

func line(text string, i int) string {
	start := strings.LastIndexByte(text[:i], '\n') + 1
	line, _, _ := strings.Cut(text[start:], "\n")
	return line
}

func TestForwardedCredentialsAreNotLoggedByTheProxy(t *testing.T) {
	global := strings.ReplaceAll(logGlobal, "FORMAT", "json")
	directives := strings.Replace(strings.ReplaceAll(logged, "FORMAT", "json"), "public", "forward_credential\npublic", 1)
	s := newSite(t, global, directives)
	// An answer that ends early: the proxy logs the request that it sent.
	s.upstream.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	_, secret := s.key()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.address+"/rest/a?key="+secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := http.DefaultTransport.RoundTrip(r); err == nil {
		if _, err := io.ReadAll(answer.Body); err == nil {
			t.Error("the answer came whole")
		}
		answer.Body.Close()
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	log := s.file("all.log")
	if !strings.Contains(log, "aborting with incomplete response") {
		t.Fatal("the proxy logged nothing, so the test proves nothing")
	}
	if i := strings.Index(log, secret); i >= 0 {
		t.Errorf("the log holds the secret: %s", line(log, i))
	}
}

func TestAccessLogsNameTheKey(t *testing.T) {
	s := newSite(t, "", "log {\noutput file {$DIR}/access.log\nformat json\n}\n"+standard)
	k, secret := s.key()
	off, disabled := s.key(func(k *keys.Key) { k.Enabled = false })
	s.want(200, "GET", "/rest/a", bearer(secret))
	s.want(401, "GET", "/rest/a", bearer(disabled))
	s.want(401, "GET", "/rest/a")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(s.file("access.log")), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, id := range []keys.ID{k.ID, off.ID, ""} {
		if want := fmt.Sprintf(`"api_key_id":"%s"`, id); strings.Contains(lines[i], want) != (id != "") {
			t.Errorf("line %d: %s", i+1, lines[i])
		}
	}
}

func TestARequestForAnotherSiteOfTheServerIsRedactedToo(t *testing.T) {
	s := newSite(t, "log {\noutput file {$DIR}/all.log\nformat json\n}\n",
		standard+"}\nhttp://localhost:{$ADDRESS_PORT} {\nlog\nrespond other")
	_, secret := s.key()
	s.do("GET", "/", func(r *http.Request) { r.Host = "localhost" }, header("X-API-Key", secret))
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	log := s.file("all.log")
	if !strings.Contains(log, "handled request") || strings.Contains(log, secret) {
		t.Errorf("%s", log)
	}
}

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	r := newRedactor()
	r.mask.Store(testMask())
	return zap.New(r.wrap(core)), logs
}

type stringer string

func (s stringer) String() string { return string(s) }

type panicking struct{}

func (*panicking) String() string { panic("no value") }

func TestEveryKindOfFieldIsRedacted(t *testing.T) {
	secret := testSecret(t)
	log, logs := observed()
	fields := []zap.Field{
		zap.String("string", secret), zap.ByteString("bytes", []byte(secret)), zap.Error(errors.New("x " + secret)),
		zap.NamedError("joined", errors.Join(errors.New(secret), errors.New("b"))), zap.Stringer("stringer", stringer(secret)),
		zap.Strings("strings", []string{"a", secret}), zap.Any("map", map[string]any{"deep": []string{secret}}),
		zap.Any("struct", struct{ K string }{secret}), zap.Any("header", http.Header{"X-Api-Key": {"legacy"}, "A": {secret}}),
		zap.Object("headers", caddyhttp.LoggableHTTPHeader{Header: http.Header{"X-Api-Key": {"legacy"}}}),
		zap.Inline(treeMarshaler{"inline": secret}), zap.Dict("dict", zap.String("k", secret)),
		zap.Stringp("pointer", &secret), zap.Reflect("reflect", []any{secret}),
	}
	log.Info("message "+secret, fields...)
	log.With(fields...).Info("with")
	log.WithLazy(fields...).Info("lazy")
	log.Named("name").With(zap.Namespace("n")).Info("in a namespace", fields...)
	for _, entry := range logs.All() {
		text := fmt.Sprintf("%s %v", entry.Message, entry.ContextMap())
		if strings.Contains(text, secret) || strings.Contains(text, "legacy") {
			t.Errorf("%s", text)
		}
	}
	if logs.Len() != 4 {
		t.Errorf("%d entries, want 4", logs.Len())
	}
}

func TestHarmlessFieldsStayAsTheyAre(t *testing.T) {
	log, logs := observed()
	fields := []zap.Field{
		zap.String("s", "a"), zap.Int("i", 1), zap.Duration("d", time.Second), zap.Error(errors.New("e")), zap.Strings("l", []string{"x"}),
		zap.Any("m", map[string]int{"a": 1}), zap.Stringer("n", (*panicking)(nil)), zap.Skip(), zap.Any("chan", make(chan int)),
	}
	log.Info("m", fields...)
	got := logs.All()[0].Context
	for i := range fields {
		if got[i].Type != fields[i].Type || got[i].Key != fields[i].Key {
			t.Errorf("%v became %v", fields[i], got[i])
		}
	}
}

func TestRedactingKeepsFiltersAndLevels(t *testing.T) {
	s := newSite(t, `
	log one {
		output file {$DIR}/one.log
		include http.log.access
		level ERROR
	}
	log two {
		output file {$DIR}/two.log
		include http.log.access
	}
	log three {
		output file {$DIR}/three.log
		exclude http.log.access
		level DEBUG
	}`, "log\n"+standard)
	s.want(401, "GET", "/rest/a")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]int{"one.log": 0, "two.log": 1, "three.log": 0} {
		if n := strings.Count(s.file(file), "handled request"); n != want {
			t.Errorf("%s holds %d access lines, want %d", file, n, want)
		}
	}
}

func TestARequestIsOnlyCopiedForTheLog(t *testing.T) {
	r, err := http.NewRequest("GET", "http://h/?key=legacy", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = "/?key=legacy"
	r.Header.Set("X-Api-Key", "legacy")
	log, logs := observed()
	log.Info("m", zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r}))
	if r.RequestURI != "/?key=legacy" || r.Header.Get("X-Api-Key") != "legacy" {
		t.Error("the request itself was changed")
	}
	if text := fmt.Sprint(logs.All()[0].ContextMap()); strings.Contains(text, "legacy") || !strings.Contains(text, "uri:/?key=REDACTED") {
		t.Errorf("%s", text)
	}
}

func TestFieldsThatCaddyDoesNotHaveAreLeftAlone(t *testing.T) {
	if field[*zap.Logger](new(caddyhttp.Server), "noSuchLogger") != nil {
		t.Error("a field that does not exist was found")
	}
	if field[zap.Logger](new(caddyhttp.Server), "logger") != nil {
		t.Error("a field of another type was found")
	}
	if field[*zap.Logger]((*caddyhttp.Server)(nil), "logger") != nil || field[int](3, "x") != nil {
		t.Error("a field of nothing was found")
	}
	log, logs := observed()
	newRedactor().wrapServers(caddy.Context{Context: t.Context()}, log)
	if logs.Len() != 1 || !strings.Contains(logs.All()[0].Message, "filter encoder") {
		t.Errorf("the operator is told %v", logs.All())
	}
}

// countingCore counts how often fields are encoded for it.
type countingCore struct {
	zapcore.Core
	encoded *int
}

func (c countingCore) With(fields []zapcore.Field) zapcore.Core {
	*c.encoded++
	return countingCore{c.Core.With(fields), c.encoded}
}

func TestARequestIsEncodedOnlyForAnEntryThatIsWritten(t *testing.T) {
	core, entries := observer.New(zapcore.InfoLevel)
	encoded := 0
	logger := zap.New(newRedactor().wrap(countingCore{core, &encoded}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.example/rest/a", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", "kw_secretsecretsecret")
	with := logger.With(zap.String("upstream", "a:1"), zap.Duration("duration", time.Second), zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r}))
	with.Debug("not written")
	if encoded != 0 {
		t.Errorf("encoded %d times for nobody", encoded)
	}
	r.Header.Set("X-Later", "too late") // what is logged is the request as it was
	with.Info("written")
	with.Info("once more")
	if encoded != 1 || entries.Len() != 2 {
		t.Errorf("encoded %d times for %d entries, want once for 2", encoded, entries.Len())
	}
	request, _ := entries.All()[0].ContextMap()["request"].(map[string]any)
	text := fmt.Sprint(request)
	if !strings.Contains(text, "REDACTED") || strings.Contains(text, "secretsecret") || strings.Contains(text, "too late") {
		t.Errorf("logged %s", text)
	}

	logger.With(zap.Strings("words", []string{"these", "may", "change"}))
	if encoded != 2 {
		t.Error("a field that may change is not encoded at once")
	}
}

// sentRequest is a request as reverse_proxy has it when it logs.
func sentRequest(t *testing.T) *http.Request {
	t.Helper()
	ctx := context.WithValue(t.Context(), caddy.CtxKey("reverse_proxy.dial_info"), reverseproxy.DialInfo{})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.example/rest/a?key=kw_secret", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = "/rest/a?key=kw_secret"
	r.Header.Set("X-Api-Key", "kw_secret")
	if !isOutgoing(r) {
		t.Fatal("this version of Caddy marks requests otherwise")
	}
	return r
}

func TestARequestThatWasSentIsNotCopiedUnlessItIsLogged(t *testing.T) {
	core, entries := observer.New(zapcore.InfoLevel)
	redactor := newRedactor()
	redactor.mask.Store(testMask())
	wrapped := redactor.wrap(core)
	fields := []zapcore.Field{zap.String("upstream", "a:1"), zap.Duration("duration", time.Second), zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: sentRequest(t)})}
	var with zapcore.Core
	if n := testing.AllocsPerRun(100, func() {
		with = wrapped.With(fields)
		if with.Check(zapcore.Entry{Level: zapcore.DebugLevel}, nil) != nil {
			t.Error("an entry of a level that is off is written")
		}
	}); n > 1 {
		t.Errorf("%v allocations for what nobody logs, want 1", n)
	}
	zap.New(with).Named("proxy").With(zap.Int("status", 502)).Info("aborting")
	text := fmt.Sprint(entries.All()[0].ContextMap())
	if !strings.Contains(text, "uri:/rest/a?key=REDACTED") || !strings.Contains(text, "status:502") || strings.Contains(text, "kw_secret") {
		t.Errorf("logged %s", text)
	}
}

// The order in which loggers are derived and written to is their users'.
func TestFieldsThatWaitAreRedactedWhicheverWayTheyAreWritten(t *testing.T) {
	secret := testSecret(t)
	for name, write := range map[string]func(zapcore.Core){
		"Check": func(c zapcore.Core) { zap.New(c).Info("m") },
		"Write": func(c zapcore.Core) { _ = c.Write(zapcore.Entry{Message: "m"}, nil) },
		"With":  func(c zapcore.Core) { zap.New(c.With([]zapcore.Field{zap.String("more", secret)})).Info("m") },
		"wrap":  func(c zapcore.Core) { zap.New(newRedactor().wrap(c)).Info("m") },
		"twice": func(c zapcore.Core) { zap.New(c).Info("first"); zap.New(c).Info("m") },
	} {
		t.Run(name, func(t *testing.T) {
			core, entries := observer.New(zapcore.DebugLevel)
			redactor := newRedactor()
			redactor.mask.Store(testMask())
			with := redactor.wrap(core).With([]zapcore.Field{zap.String("secret", secret), zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: sentRequest(t)})})
			write(with)
			if err := with.Sync(); err != nil {
				t.Error(err)
			}
			last := entries.All()[entries.Len()-1]
			text := fmt.Sprint(last.ContextMap())
			if last.Message != "m" || !strings.Contains(text, "uri:/rest/a?key=REDACTED") || strings.Contains(text, secret) || strings.Contains(text, "kw_secret") {
				t.Errorf("logged %s %s", last.Message, text)
			}
		})
	}
}
