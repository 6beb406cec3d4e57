package attack

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
	"github.com/caddy-keywarden/keywarden/internal/freeport"
)

const startTimeout = 30 * time.Second

// program returns the path of the first of the names that is installed.
func program(t testing.TB, names ...string) string {
	t.Helper()
	// Servers are where only root's PATH leads; Debian's own interpreters are
	// preferred to what a version manager puts in front of them.
	folders := append([]string{"/usr/bin", "/usr/sbin"}, filepath.SplitList(os.Getenv("PATH"))...)
	for _, name := range names {
		for _, folder := range folders {
			path := filepath.Join(folder, name)
			if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	t.Fatalf("found none of %q: run make deps", names)
	return ""
}

// serve starts a server that listens on n ports, and returns their addresses
// when it answers on the last one. It ends with the test.
func serve(t testing.TB, n int, command func(ports []string) *exec.Cmd) []string {
	t.Helper()
	const attempts = 5 // another process may take a free port first
	var said string
	for range attempts {
		ports, addresses := make([]string, n), make([]string, n)
		for i, port := range freeport.Take(t, n) {
			ports[i] = strconv.Itoa(port)
			addresses[i] = net.JoinHostPort("127.0.0.1", ports[i])
		}
		p := run(t, command(ports))
		if p.answers(addresses[n-1]) {
			return addresses
		}
		p.stop()
		said = p.output.String()
	}
	t.Fatalf("the server did not start; it said:\n%s", said)
	return nil
}

type process struct {
	cmd    *exec.Cmd
	output *e2e.Output
	exited chan struct{}
}

func run(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, output: new(e2e.Output), exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	// Should the test die, the server is to follow. A group of its own takes
	// its children along.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // it is killed at the end
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() && p.output.String() != "" {
			t.Logf("%s said:\n%s", cmd.Path, p.output)
		}
	})
	return p
}

func (p *process) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	<-p.exited
}

// answers waits until the process answers. Listening is not enough: httpd does
// so before it has read its configuration.
func (p *process) answers(address string) bool {
	w := wire{address: address}
	defer w.close()
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		select {
		case <-p.exited:
			return false
		case <-time.After(5 * time.Millisecond):
		}
		if _, _, err := w.exchange(http.MethodGet, "GET / HTTP/1.1\r\nHost: "+address+"\r\n\r\n"); err == nil {
			return true
		}
	}
	return false
}

// openDir returns a new folder that other users may read: servers that root
// starts give up their rights.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "attack")
	if err == nil {
		err = os.Chmod(dir, 0o755) // there is nothing secret in it
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a leftover in the temporary folder
	return dir
}

// write writes a file, its folder included, and returns its path.
func write(t testing.TB, path, text string) string {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755) // see openDir
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o755) // see openDir; some are scripts
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// testdata returns the absolute path of a file in testdata.
func testdata(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("%w: run make deps", err))
	}
	return path
}
