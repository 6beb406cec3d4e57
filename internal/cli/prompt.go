package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxLine bounds a line that is read from standard input.
const maxLine = 64 << 10

// errInterrupted is Ctrl-C at a prompt.
var errInterrupted = errors.New("interrupted")

// terminal returns standard input where it is a terminal, else nil.
func (i *invocation) terminal() *os.File {
	f, ok := i.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// ask shows a question and returns the line that answers it, or io.EOF where
// there is nobody to answer.
func (i *invocation) ask(ctx context.Context, question string) (string, error) {
	if _, err := io.WriteString(i.err, question); err != nil {
		return "", fmt.Errorf("asking: %w", err)
	}
	line, err := readLine(ctx, i.in)
	if err != nil || i.terminal() == nil {
		i.note("") // nobody typed a line feed that would end the question's line
	}
	return line, err
}

// askSecret asks for a secret without showing it. From a pipe it reads a
// line, so that scripts can log in as well.
func (i *invocation) askSecret(ctx context.Context, question string) (string, error) {
	f := i.terminal()
	if f == nil {
		line, err := readLine(ctx, i.in)
		if errors.Is(err, io.EOF) {
			return "", errors.New("standard input is empty, expected a line with the secret")
		}
		return strings.TrimSpace(line), err
	}
	line, err := askHidden(ctx, f, i.err, question)
	return strings.TrimSpace(line), err
}

// askHidden reads a line from a terminal without echo. The terminal is in raw
// mode before the question appears: with term.ReadPassword there is a moment
// after it in which a quick paste is shown, and after a Ctrl-C the shell would
// be left without echo.
func askHidden(ctx context.Context, f *os.File, w io.Writer, question string) (string, error) {
	fd := int(f.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("switching the terminal's echo off: %w", err)
	}
	defer func() { _ = term.Restore(fd, state) }() // nothing to do about it, and the answer stands
	line, err := await(ctx, func() (string, error) {
		return term.NewTerminal(screen{f, w}, "").ReadPassword(question)
	})
	if errors.Is(err, io.EOF) { // Ctrl-C or Ctrl-D
		err = errInterrupted
	}
	if err != nil {
		_, _ = io.WriteString(w, "\r\n") // only so that the shell's prompt starts on a line of its own
	}
	return line, err
}

// screen is a terminal that is read at one end and shown on another.
type screen struct {
	io.Reader
	io.Writer
}

// readLine reads up to a line feed, and not a byte further: what follows is
// for others. At the end of input without a line it returns io.EOF.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	return await(ctx, func() (string, error) {
		var line bytes.Buffer
		var b [1]byte
		for line.Len() <= maxLine {
			n, err := r.Read(b[:])
			switch {
			case n == 1 && b[0] == '\n':
				return strings.TrimSuffix(line.String(), "\r"), nil
			case n == 1:
				line.WriteByte(b[0])
			case errors.Is(err, io.EOF) && line.Len() > 0:
				return strings.TrimSuffix(line.String(), "\r"), nil
			case err != nil:
				return "", err
			}
		}
		return "", fmt.Errorf("reading standard input: the line is longer than %d bytes", maxLine)
	})
}

// await returns what read returns, or ctx's error at once: a read from a
// terminal can't be cut short, and is left to the end of the process.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := read()
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		return r.line, r.err
	case <-ctx.Done():
		return "", errInterrupted
	}
}
