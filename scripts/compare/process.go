package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// start starts a program in a process group of its own, so that its workers
// end with it.
func start(ctx context.Context, dir, name, program string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, program, args...), exited: make(chan struct{})} //nolint:gosec // what is compared
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME="+filepath.Join(dir, "config-home"))
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // its output says why
		close(p.exited)
	}()
	return p, nil
}

// Write keeps what the program prints.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.output.Len() > 1<<20 {
		p.output.Reset()
	}
	return p.output.Write(text)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// stop ends the program and its workers.
func (p *process) stop() error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(-p.cmd.Process.Pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		select {
		case <-p.exited:
			return nil
		case <-time.After(5 * time.Second):
		}
	}
	return fmt.Errorf("%s does not end", p.name)
}

// ticks is the unit of times in /proc/PID/stat, USER_HZ: 100 a second on every
// Linux that Go runs on (proc(5)).
const ticks = 10 * time.Millisecond

// cpu is what the programs have used so far, workers included (proc(5)).
func cpu(all ...*process) (time.Duration, error) {
	var sum time.Duration
	err := eachStat(all, func(fields []string) error {
		for _, field := range fields[11:13] { // utime, stime
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return err
			}
			sum += time.Duration(n) * ticks
		}
		return nil
	})
	return sum, err
}

// residentOf is what a program has in memory, workers included, in MiB (proc(5)).
func residentOf(p *process) (float64, error) {
	var pages int64
	err := eachStat([]*process{p}, func(fields []string) error {
		n, err := strconv.ParseInt(fields[21], 10, 64) // rss
		pages += n
		return err
	})
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20), err
}

// eachStat yields the fields of /proc/PID/stat, from the state on, of the
// programs and their workers.
func eachStat(all []*process, yield func(fields []string) error) error {
	groups := map[int]bool{}
	for _, p := range all {
		groups[p.cmd.Process.Pid] = true
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, path := range stats {
		text, err := os.ReadFile(path) // of the kernel
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may hold anything; fields count from behind it.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if group, err := strconv.Atoi(fields[2]); err != nil || !groups[group] {
			continue
		}
		if err := yield(fields); err != nil {
			return err
		}
	}
	return nil
}
