package cli

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is a pseudo-terminal: the person's side, and everything that was
// shown on it.
type terminal struct {
	t      *testing.T
	person *os.File // types here
	tty    *os.File // the process's side
	mu     sync.Mutex
	shown  bytes.Buffer
	more   chan struct{}
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = person.Close() })
	must(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetUint32(int(person.Fd()), unix.TIOCGPTN)
	must(t, err)
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(int(n)), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = tty.Close() })
	term := &terminal{t: t, person: person, tty: tty, more: make(chan struct{}, 1)}
	go term.watch()
	return term
}

func (m *terminal) watch() {
	r := bufio.NewReader(m.person)
	for {
		b, err := r.ReadByte()
		if err != nil {
			return // closed
		}
		m.mu.Lock()
		m.shown.WriteByte(b)
		m.mu.Unlock()
		select {
		case m.more <- struct{}{}:
		default:
		}
	}
}

func (m *terminal) screen() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shown.String()
}

// awaits waits until text stands on the screen.
func (m *terminal) awaits(text string) {
	m.t.Helper()
	deadline := time.After(20 * time.Second)
	for !strings.Contains(m.screen(), text) {
		select {
		case <-m.more:
		case <-deadline:
			m.t.Fatalf("%q never appeared; the screen: %q", text, m.screen())
		}
	}
}

func (m *terminal) types(text string) {
	m.t.Helper()
	_, err := io.WriteString(m.person, text)
	must(m.t, err)
}

// start runs the command line on the terminal, in a session of its own.
func (m *terminal) start(env map[string]string, args ...string) *exec.Cmd {
	m.t.Helper()
	cmd := process(m.t, env, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = m.tty, m.tty, m.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(m.t, cmd.Start())
	return cmd
}

func (m *terminal) echoes() bool {
	m.t.Helper()
	state, err := unix.IoctlGetTermios(int(m.tty.Fd()), unix.TCGETS)
	must(m.t, err)
	return state.Lflag&unix.ECHO != 0 && state.Lflag&unix.ICANON != 0
}

func status(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestLoginDoesNotShowTheKeyThatIsTyped(t *testing.T) {
	g, m, c := newGateway(t), newTerminal(t), newConsole(t)
	cmd := m.start(c.env, "login", g.url)
	m.awaits("Admin key for " + g.url + ": ")
	m.types(g.adminKey + "\r")
	if got := status(t, cmd); got != 0 {
		t.Errorf("status %d: %s", got, m.screen())
	}
	m.awaits("Logged in at " + g.url)
	if strings.Contains(m.screen(), g.adminKey[:12]) {
		t.Errorf("the key is shown: %q", m.screen())
	}
	if !m.echoes() {
		t.Error("the terminal is left without echo")
	}
	c.ok("keys", "list")
}

func TestCtrlCAtThePromptGivesTheTerminalBack(t *testing.T) {
	g, m, c := newGateway(t), newTerminal(t), newConsole(t)
	for name, interrupt := range map[string]func(*exec.Cmd){
		"ctrl-c":  func(*exec.Cmd) { m.types("half\x03") },
		"ctrl-d":  func(*exec.Cmd) { m.types("\x04") },
		"SIGTERM": func(cmd *exec.Cmd) { must(t, cmd.Process.Signal(syscall.SIGTERM)) },
	} {
		m.mu.Lock()
		m.shown.Reset()
		m.mu.Unlock()
		cmd := m.start(c.env, "login", g.url)
		m.awaits("Admin key for")
		interrupt(cmd)
		if got := status(t, cmd); got != 1 {
			t.Errorf("%s: status %d: %s", name, got, m.screen())
		}
		m.awaits("interrupted")
		if !m.echoes() {
			t.Errorf("%s: the terminal is left without echo", name)
		}
	}
}

func TestDeleteAsksOnTheTerminal(t *testing.T) {
	g, m := newGateway(t), newTerminal(t)
	c := g.console(t)
	made := c.create("ci", "--all")
	cmd := m.start(c.env, "keys", "delete", made.ID)
	m.awaits("[y/N] ")
	m.types("y\r")
	if got := status(t, cmd); got != 0 {
		t.Errorf("status %d: %s", got, m.screen())
	}
	c.fails(1, "no_such_key", "keys", "get", made.ID)
}

func TestCtrlCAtAQuestionDeletesNothing(t *testing.T) {
	g, m := newGateway(t), newTerminal(t)
	c := g.console(t)
	made := c.create("ci", "--all")
	cmd := m.start(c.env, "keys", "delete", made.ID)
	m.awaits("[y/N] ")
	m.types("\x03")
	if got := status(t, cmd); got != 1 {
		t.Errorf("status %d: %s", got, m.screen())
	}
	m.awaits("not deleted: interrupted")
	c.get(made.ID)
}

func TestTheTerminalOfTheseTestsIsOne(t *testing.T) {
	m := newTerminal(t)
	if !term.IsTerminal(int(m.tty.Fd())) || !m.echoes() {
		t.Fatal("what follows would prove nothing")
	}
	m.types("shown")
	m.awaits("shown")
}
