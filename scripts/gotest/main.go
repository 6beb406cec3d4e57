// Command gotest runs go test and prints what it prints, but fails when a
// test was skipped: a skipped test is a promise that nobody checked.
//
//	go run ./scripts/gotest [go test flags] packages
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...) //nolint:gosec,noctx // it runs what it was told to, until that ends
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
	r := newReport(os.Stdout)
	err = errors.Join(r.read(out), notExit(cmd.Wait()))
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	if ok := r.close(); err != nil || !ok || !cmd.ProcessState.Success() {
		os.Exit(1)
	}
}

// notExit passes over what go test has said itself by then: that it failed.
func notExit(err error) error {
	if errors.As(err, new(*exec.ExitError)) {
		return nil
	}
	return err
}

// event is a line of go test -json (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

// report turns events back into go test's plain output: that of packages and
// of failed tests, nothing of tests that passed.
type report struct {
	w       io.Writer
	output  map[string]string // by package and test, of tests still running
	skipped []string
	passed  int
	failed  int
}

func newReport(w io.Writer) *report {
	return &report{w: w, output: map[string]string{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading go test's output: %w", err)
		}
	}
}

func (r *report) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		_, _ = r.w.Write(line) // not of test2json: shown as it is
		return
	}
	name := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.w, e.Output)
	case "output":
		if e.Test == "" {
			if e.Output != "PASS\n" {
				fmt.Fprint(r.w, e.Output)
			}
			return
		}
		r.output[name] += e.Output
	case "pass":
		if e.Test != "" {
			r.passed++
		}
		delete(r.output, name)
	case "fail":
		if e.Test != "" {
			r.failed++
		}
		fmt.Fprint(r.w, r.output[name])
		delete(r.output, name)
	case "skip":
		if e.Test != "" { // a package without tests is skipped as well
			r.skipped = append(r.skipped, name+"\n"+r.output[name])
		}
		delete(r.output, name)
	}
}

// close prints the summary and says whether tests ran and none was skipped.
func (r *report) close() bool {
	for _, name := range r.output { // of tests that a crash cut off
		fmt.Fprint(r.w, name)
	}
	for _, name := range r.skipped {
		fmt.Fprintf(r.w, "SKIPPED, which is not allowed: %s", name)
	}
	fmt.Fprintf(r.w, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	if r.passed == 0 {
		fmt.Fprintln(r.w, "no test ran")
	}
	return r.passed > 0 && len(r.skipped) == 0
}
