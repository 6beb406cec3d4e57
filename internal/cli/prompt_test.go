package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadLineTakesOneLineAndNotAByteMore(t *testing.T) {
	in := strings.NewReader("first\r\nsecond\nlast")
	for _, want := range []string{"first", "second", "last"} {
		if got, err := readLine(t.Context(), in); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if _, err := readLine(t.Context(), in); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestAnEndlessLineIsRefused(t *testing.T) {
	if _, err := readLine(t.Context(), &endless{1 << 40}); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}

func TestReadErrorsAreNotTakenForAnAnswer(t *testing.T) {
	broken := errors.New("broken")
	if got, err := readLine(t.Context(), io.MultiReader(strings.NewReader("y"), iotest.ErrReader(broken))); got != "" || !errors.Is(err, broken) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestInterruptEndsAPromptThatNobodyAnswers(t *testing.T) {
	silent, never := io.Pipe()
	defer never.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if _, err := readLine(ctx, silent); !errors.Is(err, errInterrupted) {
		t.Errorf("got %v", err)
	}
}

func TestSecretFromAPipeIsALineWithoutSpacesAround(t *testing.T) {
	var shown bytes.Buffer
	i := &invocation{in: strings.NewReader(" kw_secret \r\nrest"), err: &shown}
	got, err := i.askSecret(t.Context(), "Admin key: ")
	if got != "kw_secret" || err != nil || shown.Len() != 0 {
		t.Errorf("got %q, %v; shown %q", got, err, shown.String())
	}
	i.in = strings.NewReader("")
	if _, err := i.askSecret(t.Context(), "Admin key: "); err == nil || !strings.Contains(err.Error(), "standard input is empty") {
		t.Errorf("got %v", err)
	}
}
