package program

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time that programs have used so far, workers included,
// in user mode and in the kernel. Linux has a clock for each process, to the
// nanosecond, whose number follows from the process' (clock_getcpuclockid(3)).
func CPU(all ...*Program) (sum time.Duration, err error) {
	err = eachProcess(all, func(pid int, _ []string) error {
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil { //nolint:gosec // G115: as the kernel has it
			return fmt.Errorf("reading the processor time of process %d: %w", pid, err)
		}
		sum += time.Duration(t.Nano())
		return nil
	})
	return sum, err
}

// Resident is what a program has in memory, workers included, in MiB (proc(5)).
func Resident(p *Program) (float64, error) {
	var pages int64
	err := eachProcess([]*Program{p}, func(_ int, fields []string) error {
		n, err := strconv.ParseInt(fields[21], 10, 64) // rss
		pages += n
		return err
	})
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20), err
}

// eachProcess yields the processes of programs and what /proc/PID/stat says of
// each, from its state on.
func eachProcess(all []*Program, yield func(pid int, fields []string) error) error {
	groups := map[int]bool{}
	for _, p := range all {
		groups[p.cmd.Process.Pid] = true
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path) // of the kernel
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may hold anything; fields count from behind it.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if group, err := strconv.Atoi(fields[2]); err != nil || !groups[group] {
			continue
		}
		if err := yield(pid, fields); err != nil {
			return err
		}
	}
	return nil
}
