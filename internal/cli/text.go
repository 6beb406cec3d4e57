package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-keywarden/keywarden/admin"
)

// printable returns text with everything escaped that a terminal would act on
// or hide: control characters, also in their 8-bit form, and format
// characters, with which a name can reorder the line it stands in
// (CVE-2021-42574). Names come from whoever may create keys.
func printable(text string) string {
	return escapeUnprintable(text, func(r rune) string {
		if r > 0xffff {
			return fmt.Sprintf(`\U%08x`, r)
		}
		return fmt.Sprintf(`\u%04x`, r)
	}, false)
}

// printableLines is printable, but keeps line breaks.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// printableJSON returns the same JSON value in characters that are harmless on
// a terminal. Outside of strings JSON is ASCII, so that what is escaped stands
// in a string.
func printableJSON(text []byte) []byte {
	return []byte(escapeUnprintable(string(text), func(r rune) string {
		if r > 0xffff {
			high, low := surrogates(r)
			return fmt.Sprintf(`\u%04x\u%04x`, high, low)
		}
		return fmt.Sprintf(`\u%04x`, r)
	}, true))
}

func surrogates(r rune) (rune, rune) {
	r -= 0x10000
	return 0xd800 + r>>10, 0xdc00 + r&0x3ff
}

func escapeUnprintable(text string, escape func(rune) string, whitespace bool) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			b.WriteString(`\ufffd`)
		case unicode.IsPrint(r), whitespace && (r == '\n' || r == '\t' || r == '\r'):
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
	}
	return b.String()
}

// explain says in plain words why a command failed, every fault on a line,
// and what to do about it.
func explain(err error) string {
	text := explainCause(err)
	var part *partError
	if errors.As(err, &part) {
		text += "\n" + part.hint()
	}
	return text
}

func explainCause(err error) string {
	var refused *admin.Problem
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted: " + printableLines(err.Error())
	case !errors.As(err, &refused):
		return printableLines(err.Error())
	}
	var b strings.Builder
	// What the command was about, which stands before the API's words.
	before, _ := strings.CutSuffix(err.Error(), refused.Error())
	if before != err.Error() {
		b.WriteString(printable(before))
	}
	b.WriteString(printable(headline(refused)))
	listed := refused.Errors
	if len(listed) == 1 && strings.HasPrefix(refused.Detail, listed[0].Field) && strings.HasSuffix(refused.Detail, listed[0].Message) {
		listed = nil // the headline says it already
	}
	for _, e := range listed {
		b.WriteString("\n  ")
		if e.Field != "" {
			b.WriteString(printable(e.Field) + ": ")
		}
		b.WriteString(printable(e.Message))
	}
	if hint := hint(refused); hint != "" {
		b.WriteString("\n" + hint)
	}
	return b.String()
}

func headline(p *admin.Problem) string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if text == "" {
		text = http.StatusText(p.Status)
	}
	return text + " (" + p.Code + ")"
}

func hint(p *admin.Problem) string {
	switch {
	case p.Status == http.StatusUnauthorized:
		return "The admin key was refused. Log in again with keywarden login, or set KEYWARDEN_ADMIN_KEY to another one."
	case p.Code == "no_such_key":
		return "keywarden keys list shows the ids."
	case p.Status == http.StatusPreconditionFailed:
		return "Nothing was changed. Look at the key with keywarden keys get, and try again."
	}
	return ""
}

// printJSON writes an answer of the API as it is, on one line of its own.
func (i *invocation) printJSON(body json.RawMessage) error {
	return i.print(append(printableJSON(bytes.TrimSpace(body)), '\n'))
}

// print writes to standard output. That can fail where it is a file or a
// pipe, and then the command has failed.
func (i *invocation) print(text []byte) error {
	if _, err := i.out.Write(text); err != nil {
		return fmt.Errorf("writing to standard output: %w", err)
	}
	return nil
}

// note writes a line for the person to standard error. Texts from elsewhere
// are to be made printable by the caller.
func (i *invocation) note(format string, args ...any) { tell(i.err, format, args...) }

// shellQuote writes a file's name so that it can be pasted into a shell.
func shellQuote(name string) string {
	return "'" + strings.ReplaceAll(printable(name), "'", `'\''`) + "'"
}
