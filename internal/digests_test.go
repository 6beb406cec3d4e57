package internal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// A comparison that stops at the first byte that differs tells by its time how
// many were right. So digests are compared by keys.Digest.Is, which looks at all
// of them, and by nothing else; here is where that is kept.
//
// Maps by digest compare, too, but only after they have hashed with a seed of
// the process, and a digest is SHA-256 of what was sent: nobody chooses it.
func TestDigestsAreNowhereComparedWithAnEarlyExit(t *testing.T) {
	listed := rooms(t, "internal/keys", "internal/cache", "internal/gate", "internal/feed", "internal/usage", "internal/leak", "admin", "admin/console", "caddymodule")
	files := token.NewFileSet()
	imported := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) {
		if listed[path] == nil || listed[path].Export == "" {
			return nil, fmt.Errorf("%s has not been compiled", path)
		}
		return os.Open(listed[path].Export)
	})
	compared, handled := 0, 0
	for _, room := range listed {
		if room.DepOnly {
			continue
		}
		var parsed []*ast.File
		for _, name := range room.GoFiles {
			file, err := parser.ParseFile(files, filepath.Join(room.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
		if _, err := (&types.Config{Importer: imported}).Check(room.ImportPath, files, parsed, info); err != nil {
			t.Fatal(err)
		}
		for _, at := range compares(info, parsed) {
			t.Errorf("%s compares a digest, or what could be one, with an early exit; use keys.Digest.Is", files.Position(at))
		}
		for _, used := range info.Uses {
			if isOneOf(used, module+"internal/keys.Is") {
				compared++
			}
		}
		for _, typed := range info.Types {
			if holdsDigest(typed.Type) {
				handled++
			}
		}
	}
	if compared < 4 || handled < 50 {
		t.Errorf("found %d comparisons in constant time and %d digests: this test looks in the wrong place", compared, handled)
	}
}

// compares returns where values that hold digests are compared by operators or
// by functions that stop early, byte strings included.
func compares(info *types.Info, parsed []*ast.File) (found []token.Pos) {
	for _, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (holdsDigest(info.Types[n.X].Type) || holdsDigest(info.Types[n.Y].Type)) {
					found = append(found, n.OpPos)
				}
			case *ast.SwitchStmt:
				if n.Tag != nil && holdsDigest(info.Types[n.Tag].Type) {
					found = append(found, n.Pos())
				}
			case *ast.CallExpr:
				if isComparison(info, n.Fun) && slices.ContainsFunc(n.Args, func(arg ast.Expr) bool { return mayHoldDigest(info.Types[arg].Type) }) {
					found = append(found, n.Pos())
				}
			}
			return true
		})
	}
	return found
}

// isComparison reports whether a function compares what it is given, or what
// stands in it.
func isComparison(info *types.Info, function ast.Expr) bool {
	selector, ok := function.(*ast.SelectorExpr)
	return ok && isOneOf(info.Uses[selector.Sel], "bytes.Equal", "bytes.Compare", "reflect.DeepEqual",
		"slices.Equal", "slices.Compare", "slices.Contains", "slices.Index", "slices.Compact")
}

func isOneOf(object types.Object, names ...string) bool {
	return object != nil && object.Pkg() != nil && slices.Contains(names, object.Pkg().Path()+"."+object.Name())
}

// mayHoldDigest reports whether a value is, or lists, digests, or is a byte
// string, which may be one.
func mayHoldDigest(t types.Type) bool {
	if t == nil {
		return false
	}
	slice, ok := t.Underlying().(*types.Slice)
	if !ok {
		return holdsDigest(t)
	}
	basic, isBasic := slice.Elem().Underlying().(*types.Basic)
	return isBasic && basic.Kind() == types.Uint8 || holdsDigest(slice.Elem())
}

// holdsDigest reports whether comparing values of the type compares 32 bytes.
func holdsDigest(t types.Type) bool {
	if t == nil {
		return false
	}
	switch t := t.Underlying().(type) {
	case *types.Array:
		basic, ok := t.Elem().Underlying().(*types.Basic)
		return ok && basic.Kind() == types.Uint8 && t.Len() == 32 || holdsDigest(t.Elem())
	case *types.Struct:
		for field := range t.Fields() {
			if holdsDigest(field.Type()) {
				return true
			}
		}
	}
	return false
}

// listedPackage is what go list says.
type listedPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
}

// rooms returns packages of ours and all that they import, compiled: with the
// flags of everything else, so that nothing is compiled for this alone.
func rooms(t *testing.T, names ...string) map[string]*listedPackage {
	t.Helper()
	args := []string{"list", "-trimpath", "-tags", "nobadger,nomysql,nopgx", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,DepOnly"}
	for _, name := range names {
		args = append(args, module+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]*listedPackage{}
	for list := json.NewDecoder(bytes.NewReader(out)); ; {
		one := &listedPackage{}
		switch err := list.Decode(one); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all[one.ImportPath] = one
	}
}
