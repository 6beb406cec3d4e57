package caddymodule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestABodyThatDoesNotComeInTimeFails(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			type result struct {
				read   string
				failed bool
				inTime bool
			}
			got := make(chan result, 1)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body := bound(w, r)
				inTime := r.Body.(*boundedBody).Within(50 * time.Millisecond)
				text, err := io.ReadAll(r.Body)
				got <- result{string(text), err != nil, inTime()}
				body.release(r)
				if _, still := r.Body.(*boundedBody); still {
					t.Error("it was not released")
				}
			}))
			server.EnableHTTP2 = true
			if proto == "HTTP/2.0" {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			sent, late := io.Pipe()
			defer late.Close()
			go func() { _, _ = io.WriteString(late, "begun") }() // it fails when the server gives up first
			r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL, sent)
			if err != nil {
				t.Fatal(err)
			}
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				if answer, err := server.Client().Do(r); err == nil {
					answer.Body.Close()
				}
			}()
			if r := <-got; !r.failed || r.inTime || !strings.HasPrefix("begun", r.read) {
				t.Errorf("read %q, failed: %v, in time: %v", r.read, r.failed, r.inTime)
			}
			late.Close()
			<-answered
		})
	}
}

func TestABodyThatComesInTimeIsLeftAsItWas(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("all of it"))
	before := r.Body
	body := bound(httptest.NewRecorder(), r)
	inTime := r.Body.(*boundedBody).Within(time.Hour)
	if text, err := io.ReadAll(r.Body); err != nil || string(text) != "all of it" || !inTime() {
		t.Errorf("read %q, %v", text, err)
	}
	body.release(r)
	if r.Body != before {
		t.Errorf("the body is a %T", r.Body)
	}
	replaced := io.NopCloser(strings.NewReader("another"))
	body = bound(httptest.NewRecorder(), r)
	r.Body = replaced
	body.release(r)
	if r.Body != replaced {
		t.Error("what the gate has put in its place is gone")
	}
}

func TestRequestsWithoutABodyPayNothingForTheBound(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	if n := testing.AllocsPerRun(100, func() { bound(w, r).release(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
