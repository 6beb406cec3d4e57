package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Answer is a whole HTTP answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Header is one header of a request.
type Header struct{ Name, Value string }

// Bearer presents a secret the usual way.
func Bearer(secret string) Header { return Header{"Authorization", "Bearer " + secret} }

// Field returns a field of the JSON body by its path: "error.code".
func (a Answer) Field(path string) any {
	var value any
	if json.Unmarshal(a.Body, &value) != nil {
		return nil
	}
	for _, name := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

// Text is Field where the field is text; else "".
func (a Answer) Text(path string) string {
	text, _ := a.Field(path).(string)
	return text
}

func (a Answer) String() string { return fmt.Sprintf("%d %s", a.Status, bytes.TrimSpace(a.Body)) }

// Call sends a request to the gateway. Requests that an HTTP client would not
// send go through Raw.
func (g *Gateway) Call(method, target, body string, headers ...Header) Answer {
	g.t.Helper()
	answer, err := g.do(method, g.URL+target, body, headers)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, target, err)
	}
	return answer
}

// TryCall is Call for tests that expect that the gateway may be gone.
func (g *Gateway) TryCall(method, target, body string, headers ...Header) (Answer, error) {
	return g.do(method, g.URL+target, body, headers)
}

// Admin calls the admin API with the gateway's admin key. A body is any value,
// sent as JSON, or text, sent as it is.
func (g *Gateway) Admin(method, path string, body any, headers ...Header) Answer {
	g.t.Helper()
	answer, err := g.TryAdmin(method, path, body, headers...)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer
}

// TryAdmin is Admin for tests that expect that the gateway may be gone.
func (g *Gateway) TryAdmin(method, path string, body any, headers ...Header) (Answer, error) {
	text, ok := body.(string)
	if !ok && body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		text = string(raw)
	}
	all := []Header{Bearer(g.AdminKey)}
	if body != nil {
		all = append(all, Header{"Content-Type", "application/json"})
	}
	return g.do(method, g.AdminURL+path, text, append(all, headers...))
}

func (g *Gateway) do(method, target, body string, headers []Header) (Answer, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, target, reader)
	if err != nil {
		return Answer{}, err
	}
	for _, h := range headers {
		r.Header[http.CanonicalHeaderKey(h.Name)] = append(r.Header[http.CanonicalHeaderKey(h.Name)], h.Value)
	}
	// A header given again replaces the harness's own.
	for _, name := range []string{"Content-Type", "Authorization"} {
		if values := r.Header[name]; len(values) > 1 && strings.HasPrefix(target, g.AdminURL) {
			r.Header[name] = values[len(values)-1:]
		}
	}
	response, err := g.client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	return readAnswer(response)
}

func readAnswer(response *http.Response) (Answer, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, body}, err
}

// Raw sends text to the gateway byte for byte, with {host} replaced, and
// reads one answer.
func (g *Gateway) Raw(text string) Answer {
	g.t.Helper()
	u, err := url.Parse(g.URL)
	if err != nil {
		g.t.Fatal(err)
	}
	conn, err := net.Dial("tcp4", u.Host)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		g.t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "{host}", u.Host)
	if _, err := io.WriteString(conn, text); err != nil {
		g.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		g.t.Fatalf("%q: %v", text, err)
	}
	answer, err := readAnswer(response)
	if err != nil {
		g.t.Fatalf("%q: %v", text, err)
	}
	return answer
}

// Key is a key that a test made.
type Key struct{ ID, Secret, Prefix string }

// Create makes a key with the given fields (name and permissions have
// defaults) and returns it with its secret.
func (g *Gateway) Create(fields map[string]any) Key {
	g.t.Helper()
	body := map[string]any{"name": "test", "permissions": map[string]any{"mode": "all"}}
	for name, value := range fields {
		body[name] = value
	}
	answer := g.Admin("POST", "/v1/keys", body)
	Expect(g.t, answer, http.StatusCreated, "")
	return Key{answer.Text("id"), answer.Text("secret"), answer.Text("prefix")}
}

// Patch changes a key, which must succeed.
func (g *Gateway) Patch(id string, fields map[string]any) {
	g.t.Helper()
	Expect(g.t, g.Admin("PATCH", "/v1/keys/"+id, fields), http.StatusOK, "")
}

// Restricted returns permissions of mode restricted.
func Restricted(apis map[string]any) map[string]any {
	return map[string]any{"mode": "restricted", "apis": apis}
}

// Expect fails the test unless the answer has the status and, where one is
// given, the code.
func Expect(t testing.TB, answer Answer, status int, code string) {
	t.Helper()
	if answer.Status != status || code != "" && answer.Text("code") != code {
		t.Errorf("answered %s; want %d %s", answer, status, code)
	}
}

// Eventually waits until holds does, at most for the given time.
func Eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: not %s", within, what)
		}
		<-time.After(PollEvery)
	}
}
