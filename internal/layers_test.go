package internal

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/caddy-keywarden/keywarden/"

// mayImport says which rooms a room may import, of ours. A room below another
// one (store/sqlite) is its own; what is not listed may not exist.
var mayImport = map[string][]string{
	"internal/permission":      {},
	"internal/keys":            {"internal/permission"},
	"internal/route":           {"internal/permission"},
	"internal/problem":         {},
	"internal/cache":           {"internal/keys"},
	"internal/feed":            {"internal/keys"},
	"internal/usage":           {"internal/keys"},
	"internal/fleet":           {"internal/keys"},
	"internal/webhook":         {"internal/keys"},
	"internal/store":           {"internal/keys", "internal/permission", "internal/store/sqlite", "internal/store/postgres", "internal/store/sqlstore"},
	"internal/store/sqlstore":  {"internal/keys", "internal/permission"},
	"internal/store/sqlite":    {"internal/keys", "internal/permission", "internal/store/sqlstore"},
	"internal/store/postgres":  {"internal/keys", "internal/permission", "internal/store/sqlstore"},
	"internal/store/pgtest":    {"internal/freeport"},
	"internal/store/storetest": {"internal/keys", "internal/permission"},
	"internal/gate":            {"internal/keys", "internal/permission", "internal/route", "internal/cache", "internal/problem"},
	"config":                   {"internal/permission", "internal/route", "internal/keys", "internal/webhook"},
	"admin":                    {"internal/keys", "internal/permission", "internal/gate", "internal/problem"},
	"admin/console":            {"admin"},
	"internal/leak":            {"internal/keys"},
	"internal/cli":             {"admin", "internal/leak"},
	"caddymodule":              nil, // fits everything together: all but cli
	"cmd/keywarden":            {"caddymodule", "internal/cli", "internal/pace", "internal/store"},
	"internal/e2e":             {"internal/freeport"},
	"internal/freeport":        {},
	"internal/pace":            {},
	"internal/cost":            {},
	"internal/consoletest":     {},
	"internal/attack":          {},
	"examples/run":             {},
	"examples/upstream":        {},
	"scripts/compare":          {"scripts/internal/program"},
	"scripts/baseline":         {},
	"scripts/corpus":           {},
	"scripts/gotest":           {},
	"scripts/internal/program": {"internal/keys"},
	"scripts/overhead":         {"scripts/internal/program"},
	"scripts/vuln":             {},
	"internal":                 {},
	"examples":                 {},
}

// longestChain bounds how deep a reader must follow a step through our own
// packages. The console is a client of the admin API, which makes it one longer
// than the API's own.
const longestChain = 7

// importsOfRooms returns, by room, the rooms that its code imports. Tests are
// left out: they may look wherever they must.
func importsOfRooms(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "-tags", "nobadger,nomysql,nopgx", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	rooms := map[string][]string{}
	for list := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := list.Decode(&p)
		if errors.Is(err, io.EOF) {
			return rooms
		}
		if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(p.ImportPath, module)
		rooms[room] = []string{}
		for _, path := range p.Imports {
			if ours, ok := strings.CutPrefix(path, module); ok {
				rooms[room] = append(rooms[room], ours)
			}
		}
	}
}

func TestImportsPointDownOnly(t *testing.T) {
	for room, imports := range importsOfRooms(t) {
		allowed, ok := mayImport[room]
		if !ok {
			t.Errorf("package %s has no place in the table of rooms: add it, with what it may import", room)
			continue
		}
		for _, path := range imports {
			switch {
			case room == "caddymodule" && path == "internal/cli":
				t.Error("caddymodule imports internal/cli: builds by xcaddy would get our commands")
			case room == "caddymodule":
			case !slices.Contains(allowed, path):
				t.Errorf("%s imports %s; it may import %v", room, path, allowed)
			}
		}
	}
}

// caddyRooms are the packages that may import Caddy: the module, and the
// command line, which is added to Caddy's commands and reads durations as
// Caddy does.
var caddyRooms = []string{"caddymodule", "internal/cli", "cmd/keywarden"}

func TestOnlyTheDoorsKnowCaddy(t *testing.T) {
	const caddy = "github.com/caddyserver/caddy/"
	cmd := exec.Command("go", "list", "-tags", "nobadger,nomysql,nopgx", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		imports := strings.Fields(line)
		room := strings.TrimPrefix(imports[0], module)
		knows := slices.ContainsFunc(imports[1:], func(path string) bool { return strings.HasPrefix(path, caddy) })
		if knows && !slices.Contains(caddyRooms, room) {
			t.Errorf("%s imports Caddy; only %v may", room, caddyRooms)
		}
	}
}

func TestChainsOfOurPackagesAreShort(t *testing.T) {
	rooms := importsOfRooms(t)
	var longest func(room string) []string
	longest = func(room string) []string {
		var best []string
		for _, next := range rooms[room] {
			if chain := longest(next); len(chain) > len(best) {
				best = chain
			}
		}
		return append([]string{room}, best...)
	}
	for room := range rooms {
		if chain := longest(room); len(chain)-1 > longestChain {
			t.Errorf("a chain of %d imports, more than %d: %s", len(chain)-1, longestChain, strings.Join(chain, " -> "))
		}
	}
}
