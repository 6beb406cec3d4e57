package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say what a server is like.
type Options struct {
	// Durable makes commits wait for the disk, as servers do. Without, a commit
	// survives the server's end, and not the machine's.
	Durable        bool
	MaxConnections int      // 0: 100
	Settings       []string // NAME=VALUE, more of postgresql.conf
}

// Server is a Postgres of its own.
type Server struct {
	options Options
	bin     string // folder of the programs
	dir     string // of data and socket; short, as sockets' paths must be
	as      *syscall.Credential
	process *process
}

type process struct {
	*os.Process
	output bytes.Buffer // read after ended
	ended  chan struct{}
}

// Start starts a server for one test, which may break it.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := newServer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(s.dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newServer(o Options) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, bin: bin}
	if s.as, err = credential(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "kwpg"); err != nil {
		return nil, err
	}
	if err := s.create(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

func (s *Server) create() error {
	if err := removeAtEnd(s.dir); err != nil {
		return err
	}
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return err
		}
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return s.start()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Address returns the address of one of the server's databases.
func (s *Server) Address(database string) string {
	return fmt.Sprintf("host=%s port=5432 user=postgres dbname=%s", s.dir, database)
}

// Socket returns where the server listens, for net.Dial.
func (s *Server) Socket() (network, address string) {
	return "unix", filepath.Join(s.dir, ".s.PGSQL.5432")
}

// programs returns the folder of Postgres' programs.
func programs() (string, error) {
	candidates := []string{os.Getenv("PGBIN")}
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	newest := 0
	for _, dir := range installed {
		if version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && version > newest {
			newest = version
			candidates = append(candidates[:1], dir)
		}
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			candidates = append(candidates, filepath.Dir(path))
		}
	}
	for _, dir := range candidates {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("found no initdb in $PGBIN, /usr/lib/postgresql or $PATH: run make deps, or set TEST_POSTGRES_DSN for the tests that break no server")
}

// credential returns whom the server runs as: Postgres refuses root.
func credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("finding a user for Postgres, which refuses root (make deps makes one): %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	// Should the test die, the server is to follow, data and all.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start starts the server and waits until it answers.
func (s *Server) start() error {
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "log_min_messages=fatal"}
	if !s.options.Durable {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	if n := s.options.MaxConnections; n > 0 {
		args = append(args, "-c", fmt.Sprintf("max_connections=%d", n))
	}
	for _, setting := range s.options.Settings {
		args = append(args, "-c", setting)
	}
	cmd := s.command("postgres", args...)
	p := &process{ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := start(cmd, p.ended); err != nil {
		return err
	}
	p.Process = cmd.Process
	s.process = p
	return s.awaitReady()
}

// start starts a command that is to end with this process, and closes ended
// when it has.
func start(cmd *exec.Cmd, ended chan struct{}) error {
	started := make(chan error)
	go func() {
		// The signal comes when the thread ends that made the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // most are killed
		close(ended)
	}()
	return <-started
}

func (s *Server) awaitReady() error {
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.Address("postgres"))
		if err == nil {
			err = conn.Close(ctx)
		}
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("postgres did not answer: %w", err)
		}
		select {
		case <-s.process.ended:
			return fmt.Errorf("postgres ended:\n%s", s.process.output.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Kill ends the server and all its processes as a power cut would.
func (s *Server) Kill() {
	_ = s.process.Kill() // it may have ended
	<-s.process.ended
	// Its children notice, and must have let go of the data before the next start.
	for _, pid := range s.children() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// children returns the processes that have the server's folder as their
// working directory.
func (s *Server) children() (pids []int) {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil
	}
	for _, link := range links {
		if dir, err := os.Readlink(link); err == nil && dir == s.data() {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Restart starts the server again, after Kill.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	// What is left of the server that was killed keeps its shared memory.
	deadline := time.Now().Add(patience)
	for {
		err := s.start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Pause stops all processes of the server: connections stay, nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets them go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	// The first one before the others, so that it makes no more of them.
	for _, pid := range append([]int{s.process.Pid}, s.children()...) {
		_ = syscall.Kill(pid, sig) // it may have ended
	}
}

var (
	reapers   []io.Closer // held open as long as this process lives
	reapersMu sync.Mutex
)

// removeAtEnd has the folder removed when this process has ended in whatever
// way: a shell waits for the end of its input.
func removeAtEnd(dir string) error {
	cmd := exec.Command("sh", "-c", `cat >/dev/null; until rm -rf -- "$0"; do sleep 0.1; done`, dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is not for it
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	reapersMu.Lock()
	defer reapersMu.Unlock()
	reapers = append(reapers, in)
	return nil
}
