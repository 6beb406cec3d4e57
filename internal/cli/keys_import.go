package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

func (p *program) importKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import FILE.jsonl [--json]",
		Short: "Imports keys of another system",
		Long: `
Imports keys with the secrets that their callers have already. The file has one
JSON object a line: the fields of a key (permissions is required), and either
its secret or the secret's SHA-256 in hexadecimal. - reads standard input.

All lines are checked before anything is sent, and the faulty ones are named.
Up to 10 000 keys and 8 MiB are imported all or none; a longer file goes in
several such parts.`,
		Example: `  keywarden keys import old-keys.jsonl
  keywarden keys import - < old-keys.jsonl

  A line:
  {"name": "ci", "owner": "team-7", "permissions": {"mode": "read_only"}, "secret": "sk_live_4eC39HqLyjWDarjtT1zdp7dc"}`,
		DisableFlagsInUseLine: true,
	}
	addJSONFlag(cmd)
	p.action(cmd, []string{"FILE.jsonl"}, runImport)
	return cmd
}

func runImport(ctx context.Context, i *invocation) (err error) {
	client, err := i.client()
	if err != nil {
		return err
	}
	file, closeFile, err := i.openImport(i.args[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFile()) }()
	total, err := checkAll(file)
	if err != nil {
		return fmt.Errorf("%s: %w", i.args[0], err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading %s again: %w", i.args[0], err)
	}
	job := &importJob{invocation: i, client: client, total: total, before: `{"data":[`}
	if err := batches(file, i.batchKeys, func(b *batch) error { return job.send(ctx, b) }); err != nil {
		if job.done > 0 {
			err = errors.Join(err, job.closeJSON())
		}
		return err
	}
	if err := job.closeJSON(); err != nil {
		return err
	}
	i.note("Imported %d keys.", job.done)
	return nil
}

// importJob is an import under way.
type importJob struct {
	*invocation
	client      *admin.Client
	total, done int
	lastLine    int
	before      string // what stands before the next element of --json
}

func (j *importJob) send(ctx context.Context, b *batch) error {
	answer, err := j.client.Import(ctx, b.keys)
	if err != nil {
		return j.fault(b, err)
	}
	j.done += len(b.keys)
	j.lastLine = b.lines[len(b.lines)-1]
	if j.done < j.total {
		j.note("Imported %d of %d keys.", j.done, j.total)
	}
	if !j.wantsJSON() {
		return nil
	}
	var list struct {
		Data []json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(answer.Body, &list); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", j.client.Address(), err)
	}
	return j.printElements(&j.before, list.Data)
}

// closeJSON ends the document of --json, also after a failure: it then tells
// what was imported before.
func (j *importJob) closeJSON() error {
	if !j.wantsJSON() {
		return nil
	}
	if err := j.printElements(&j.before, nil); err != nil {
		return err
	}
	return j.print([]byte("]}\n"))
}

// keyField is how the API names a fault of the nth key of a call.
var keyField = regexp.MustCompile(`^keys\[(\d+)\]\.?`)

// fault names the lines that the API refused, and says how to go on after an
// earlier part was imported.
func (j *importJob) fault(b *batch, err error) error {
	var refused *admin.Problem
	if errors.As(err, &refused) {
		named := *refused
		named.Errors = make([]admin.FieldError, len(refused.Errors))
		for k, e := range refused.Errors {
			named.Errors[k] = b.named(e)
		}
		named.Detail = "the gateway refused the import"
		if len(named.Errors) == 0 {
			named.Detail = refused.Detail
		}
		err = &named
	}
	if j.done == 0 {
		return err
	}
	return &partError{err: err, done: j.done, last: j.lastLine, file: j.args[0]}
}

// named returns a fault with the file's line instead of the call's index.
func (b *batch) named(e admin.FieldError) admin.FieldError {
	found := keyField.FindStringSubmatch(e.Field)
	if found == nil {
		return e
	}
	index, err := strconv.Atoi(found[1])
	if err != nil || index >= len(b.lines) {
		return e
	}
	field := "line " + strconv.Itoa(b.lines[index])
	if rest := e.Field[len(found[0]):]; rest != "" {
		field += ": " + rest
	}
	return admin.FieldError{Field: field, Message: e.Message}
}

// partError is an import that ended after some of its parts.
type partError struct {
	err        error
	done, last int
	file       string
}

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// hint says how to go on.
func (e *partError) hint() string {
	text := fmt.Sprintf("The %d keys up to line %d are imported. What is to come begins at line %d", e.done, e.last, e.last+1)
	if e.file == "-" {
		return text + "."
	}
	return text + fmt.Sprintf(": tail -n +%d %s | keywarden keys import -", e.last+1, shellQuote(e.file))
}
