// Command vuln runs a command that looks for known vulnerabilities, which is
// govulncheck, and ends as that does. Where the database of vulnerabilities
// can't be reached it says that nothing was looked for, and ends well: a
// machine without a network must be able to check everything else.
//
//	go run ./scripts/vuln https://vuln.go.dev govulncheck ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// patience is for a database that answers slowly, and a network that drops
// packets without a word.
const patience = 20 * time.Second

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "vuln: expected the address of the database, and the command to run")
		os.Exit(2)
	}
	os.Exit(look(context.Background(), os.Args[1], os.Args[2:], os.Stdout))
}

// look runs the command if the database can be reached, and returns the status
// to exit with.
func look(ctx context.Context, db string, command []string, out io.Writer) int {
	if err := reach(ctx, db); err != nil {
		leftOut(out, db, err)
		return 0
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // it runs what it was told to
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		fmt.Fprintln(out, "vuln:", err)
		return 1
	case exit.ExitCode() == found:
		fmt.Fprintln(out, "vuln: the program calls what is known to be vulnerable; see above")
		return 1
	}
	if lost := reach(ctx, db); lost != nil { // meanwhile
		leftOut(out, db, lost)
		return 0
	}
	fmt.Fprintln(out, "vuln: looking for vulnerabilities failed:", err)
	return 1
}

// found is govulncheck's status when it has found something.
const found = 3

func leftOut(out io.Writer, db string, err error) {
	fmt.Fprintf(out, "vuln: LEFT OUT: nothing was checked, since the database of vulnerabilities %s can't be reached: %v\n", db, err)
}

// reach reports why the database can't be reached; nil: it can. One that is no
// web site is a folder, of which govulncheck says itself what is wrong.
func reach(ctx context.Context, db string) error {
	if !strings.HasPrefix(db, "http") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(db, "/")+"/index/db.json", nil) //nolint:gosec // the address is the Makefile's
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}
