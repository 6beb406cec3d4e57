package program

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// run starts a shell with a script. It ends with the test.
func run(t *testing.T, script string) *Program {
	t.Helper()
	p, err := Start(t.Context(), "script", t.TempDir(), "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestWhatAProgramUsesIsCountedWithItsChildren(t *testing.T) {
	p := run(t, "sh -c 'while :; do :; done'; :")
	deadline := time.Now().Add(patience)
	for used := time.Duration(0); used < 50*time.Millisecond; {
		var err error
		if used, err = CPU(p); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("a busy loop has used %v", used)
		}
	}
}

func TestMemoryOfAProgramIsReadUntilItHasEnded(t *testing.T) {
	p := run(t, "sleep 600; :")
	mib, err := Resident(p)
	if err != nil || mib <= 0 || mib > 200 {
		t.Errorf("%v MiB, %v", mib, err)
	}
	if err := p.Stop(); err != nil || !p.Ended() {
		t.Fatalf("ended %t: %v", p.Ended(), err)
	}
	if mib, err := Resident(p); err != nil || mib != 0 {
		t.Errorf("%v MiB, %v, after its end", mib, err)
	}
}

func TestAProgramThatDoesNotStartSaysWhy(t *testing.T) {
	p := run(t, "echo no such option >&2; exit 3")
	if err := p.Await(t.Context(), "http://127.0.0.1:1/"); err == nil || !strings.Contains(err.Error(), "no such option") {
		t.Errorf("error %v, want what the program said", err)
	}
	if err := p.AwaitEnd(); err != nil {
		t.Error(err)
	}
	if _, err := Start(t.Context(), "nothing", t.TempDir(), "/no/such/program"); err == nil || !strings.Contains(err.Error(), "starting nothing") {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestAProgramIsAwaitedUntilItIsReady(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	p := run(t, "echo the cache is warm; sleep 600; :")
	if err := p.Await(t.Context(), server.URL); err != nil || asked.Load() != 3 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	if err := p.AwaitSaying(t.Context(), "cache is warm", patience); err != nil {
		t.Error(err)
	}
	if err := p.AwaitSaying(t.Context(), "cold", time.Millisecond); err == nil || !strings.Contains(err.Error(), `has not said "cold"`) {
		t.Errorf("what it does not say: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.AwaitSaying(ctx, "cold", patience); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits any more: %v", err)
	}
}

func TestOnlyTheLastOutputIsKept(t *testing.T) {
	p := &Program{}
	for range 3 {
		if _, err := p.Write(make([]byte, mostOutput)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.Said()); n > 2*mostOutput {
		t.Errorf("%d bytes are kept", n)
	}
}

func TestAddressesAreNotTheSame(t *testing.T) {
	var a, b string
	if err := FreeAddresses(t.Context(), &a, &b); err != nil || a == b || !strings.HasPrefix(a, "127.0.0.1:") {
		t.Fatalf("%s and %s: %v", a, b, err)
	}
}

func TestKeysAreImportedSomeAtATime(t *testing.T) {
	var bodies []int64
	refuse := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+AdminKey || r.URL.Path != "/v1/keys/import" {
			t.Errorf("%s with %v", r.URL, r.Header)
		}
		bodies = append(bodies, r.ContentLength)
		if refuse {
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte("known already")) // the test sees whether it came
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	secret, err := NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	all := make([]Key, mostAtOnce+1)
	for i := range all {
		all[i] = Key{Secret: secret, Permissions: All}
	}
	if err := Import(t.Context(), address, all); err != nil || len(bodies) != 2 || bodies[1] > 200 {
		t.Errorf("sent %v: %v", bodies, err)
	}
	refuse = true
	if err := Import(t.Context(), address, all[:1]); err == nil || !strings.Contains(err.Error(), "answered 409: known already") {
		t.Errorf("refused keys: %v", err)
	}
}
