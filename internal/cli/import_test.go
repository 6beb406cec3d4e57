package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-keywarden/keywarden/admin"
)

func importFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "old keys.jsonl")
	must(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

func TestImportedKeysWorkWithTheirOldSecrets(t *testing.T) {
	c := newGateway(t).console(t)
	file := importFile(t,
		`{"name":"plain","owner":"team-7","permissions":{"mode":"read_only"},"secret":"`+someSecret+`"}`,
		`{"name":"hashed","permissions":{"mode":"all"},"sha256":"`+someHash+`","prefix":"te"}`)
	if r := c.ok("keys", "import", file); r.out != "" || r.err != "Imported 2 keys.\n" {
		t.Errorf("got %+v", r)
	}
	c.types(someSecret).ok("keys", "check", "-", "GET", "/rest/x")
	c.types("test").ok("keys", "check", "-", "DELETE", "/rest/x")
	var list admin.KeyList
	c.decode(c.ok("keys", "list", "--json").out, &list)
	if len(list.Data) != 2 || !list.Data[0].Legacy || !list.Data[1].Legacy {
		t.Errorf("got %+v", list.Data)
	}
}

func TestNothingIsImportedFromAFileWithAFaultyLine(t *testing.T) {
	c := newGateway(t).console(t)
	r := c.fails(1, "line 3: is not JSON", "keys", "import", importFile(t, line(1), "", `{"name":"half`))
	if !strings.Contains(r.err, "nothing was imported") {
		t.Error(r.err)
	}
	if list := c.ok("keys", "list"); list.out != "" {
		t.Errorf("there is %s", list.out)
	}
}

func TestWhatTheGatewayRefusesIsNamedByLine(t *testing.T) {
	c := newGateway(t).console(t)
	bad := `{"permissions":{"mode":"restricted","apis":{"nope":{"access":"read"}}},"secret":"another-old-secret"}`
	r := c.fails(1, "line 4: permissions.apis.nope", "keys", "import", importFile(t, line(1), "", "", bad))
	if strings.Contains(r.err, "keys[") {
		t.Errorf("the index of the call is shown: %s", r.err)
	}
	c.ok("keys", "import", importFile(t, line(7)))
	c.fails(1, "line 2: secret: is known already", "keys", "import", importFile(t, line(8), line(7)))
	if list := c.ok("keys", "list", "--json"); strings.Count(list.out, `"id"`) != 1 {
		t.Errorf("there is %s", list.out)
	}
}

// manyLines is a file that needs several calls.
func manyLines(n int) string {
	var file strings.Builder
	for i := range n {
		fmt.Fprintln(&file, line(i))
	}
	return file.String()
}

func TestALongFileGoesInPartsAndSaysHowFarItCame(t *testing.T) {
	c := newGateway(t).console(t)
	c.batch = 100
	c.ok("keys", "import", importFile(t, line(105)))
	path := importFile(t, strings.TrimSuffix(manyLines(110), "\n"))
	r := c.fails(1, "line 106: secret: is known already", "keys", "import", path)
	for _, want := range []string{"Imported 100 of 110 keys.", "The 100 keys up to line 100 are imported", "tail -n +101 '" + path + "' | keywarden keys import -"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("%s\nlacks %q", r.err, want)
		}
	}
	rest := strings.Join(strings.SplitAfter(manyLines(110), "\n")[100:], "")
	rest = strings.Replace(rest, line(105)+"\n", "", 1)
	r = c.types(rest).ok("keys", "import", "-", "--json")
	var answer admin.ImportAnswer
	c.decode(r.out, &answer)
	if len(answer.Data) != 9 {
		t.Errorf("the rest is %d keys", len(answer.Data))
	}
}

func TestJSONOfAnImportIsOneDocument(t *testing.T) {
	c := newGateway(t).console(t)
	c.batch = 100
	for lines, want := range map[string]int{manyLines(301): 301, "\n\n": 0} {
		r := c.types(lines).ok("keys", "import", "-", "--json")
		var answer admin.ImportAnswer
		c.decode(r.out, &answer)
		if len(answer.Data) != want || strings.Count(r.out, "\n") != 1 {
			t.Errorf("got %d keys in %.40q", len(answer.Data), r.out)
		}
	}
}

func TestJSONOfAFailedImportTellsWhatWasImported(t *testing.T) {
	c := newGateway(t).console(t)
	c.batch = 10
	c.ok("keys", "import", importFile(t, line(15)))
	r := c.types(manyLines(20)).run("keys", "import", "-", "--json")
	var answer admin.ImportAnswer
	c.decode(r.out, &answer)
	if r.status != 1 || len(answer.Data) != 10 || !strings.Contains(r.err, "begins at line 11.") {
		t.Errorf("status %d, %d keys: %s", r.status, len(answer.Data), r.err)
	}
}

func TestInterruptedImportEndsAtOnce(t *testing.T) {
	c := newGateway(t).console(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	r, w := io.Pipe()
	must(t, w.Close())
	c.stdin = io.MultiReader(strings.NewReader(line(1)), r)
	if got := c.runContext(ctx, "keys", "import", "-"); got.status != 1 || !strings.Contains(got.err, "interrupted") {
		t.Errorf("got %+v", got)
	}
}
