package admin

import (
	"bytes"
	"io"
	"net/http"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// InProcess returns a client that calls the API in this process on behalf of
// r: with its session, its address and its origin, and so with the rights of
// whoever sent it and nothing else. A secret, if one is given, is presented
// instead of the session. Calls take the context of r.
func InProcess(api http.Handler, r *http.Request, secret string) (*Client, error) {
	c := &Client{address: "http://" + r.Host, http: &http.Client{Transport: &inProcess{api: api, from: r, session: secret == ""}}}
	if secret == "" {
		return c, nil
	}
	key, err := keys.ForeignSecret(secret)
	if err != nil {
		return nil, err
	}
	c.key = key
	return c, nil
}

// inProcess hands requests to a handler without a network between.
type inProcess struct {
	api     http.Handler
	from    *http.Request
	session bool
}

// RoundTrip serves the request as if from had sent it.
func (t *inProcess) RoundTrip(out *http.Request) (*http.Response, error) {
	in := out.Clone(out.Context())
	in.RequestURI = in.URL.RequestURI()
	in.Host, in.RemoteAddr, in.TLS = t.from.Host, t.from.RemoteAddr, t.from.TLS
	if in.Body == nil {
		in.Body = http.NoBody
	}
	names := []string{"Origin", "Sec-Fetch-Site"}
	if t.session {
		names = append(names, "Cookie")
	}
	for _, name := range names {
		if values := t.from.Header[name]; values != nil {
			in.Header[name] = values
		}
	}
	w := &memoryWriter{header: http.Header{}, status: http.StatusOK}
	t.api.ServeHTTP(w, in)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: out,
	}, nil
}

// memoryWriter keeps an answer.
type memoryWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header         { return w.header }
func (w *memoryWriter) WriteHeader(status int)      { w.status = status }
func (w *memoryWriter) Write(p []byte) (int, error) { return w.body.Write(p) }
