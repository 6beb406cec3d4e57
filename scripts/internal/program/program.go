// Package program runs the programs that are measured: it starts and ends them,
// waits until they answer, gives gateways their keys, and tells what a program
// has used. What is measured, and how often, is up to the commands beside it.
package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// patience is how long a program may take to start, to answer or to end: under
// valgrind everything takes fifty times as long.
const patience = 2 * time.Minute

// Program is a running program.
type Program struct {
	Name string

	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	output bytes.Buffer
}

// Start starts a program by its words, in a folder that is there and in which
// it keeps what it wants to keep. It has a process group of its own, so that its
// workers end with it, which it does with ctx at the latest.
func Start(ctx context.Context, name, dir string, words ...string) (*Program, error) {
	p := &Program{Name: name, exited: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // what is measured
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config-home"))
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = func() error { return p.signal(syscall.SIGTERM) }
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // its output says why
		close(p.exited)
	}()
	return p, nil
}

// mostOutput bounds what is kept of what a program prints.
const mostOutput = 1 << 20

// Write keeps what the program prints.
func (p *Program) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.output.Len() > mostOutput {
		p.output.Reset()
	}
	return p.output.Write(text)
}

// Said returns what the program has printed, lately.
func (p *Program) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// Exited is closed when the program has ended.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// Ended reports whether the program has ended.
func (p *Program) Ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Stop ends the program and its workers.
func (p *Program) Stop() error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := p.signal(signal); err != nil {
			return err
		}
		if p.AwaitEnd() == nil {
			return nil
		}
	}
	return fmt.Errorf("%s does not end", p.Name)
}

// AwaitEnd waits for a program that ends by itself.
func (p *Program) AwaitEnd() error {
	select {
	case <-p.exited:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s has not ended within %s", p.Name, patience)
	}
}

func (p *Program) signal(signal syscall.Signal) error {
	if err := syscall.Kill(-p.cmd.Process.Pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending %s: %w", p.Name, err)
	}
	return nil
}
