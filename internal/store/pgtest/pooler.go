package pgtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/freeport"
)

// Pooler starts a pgbouncer before the server, in transaction mode: each
// transaction may get another of its few connections. It returns the address
// of a database through it, and ends with the test.
func (s *Server) Pooler(t testing.TB, database string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // where Debian has it, off most users' PATH
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("found no pgbouncer in $PATH or /usr/sbin: run make deps")
	}
	port := freeport.Take(t, 1)[0]
	config := filepath.Join(s.dir, fmt.Sprintf("pgbouncer-%d.ini", port))
	text := fmt.Sprintf(`[databases]
* = host=%s port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
max_client_conn = 200
`, s.dir, port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil { // another user reads it, and it has no secret
		t.Fatal(err)
	}
	cmd := exec.Command(program, config)
	cmd.Dir = s.dir
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGKILL}
	ended := make(chan struct{})
	if err := start(cmd, ended); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("output of pgbouncer:\n%s", output.String())
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	awaitListener(t, address, ended)
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", address, database)
}

func awaitListener(t testing.TB, address string, ended <-chan struct{}) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close() // nothing was said
			return
		}
		select {
		case <-ended:
			t.Fatal("pgbouncer ended")
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer does not listen: %v", err)
		}
	}
}
