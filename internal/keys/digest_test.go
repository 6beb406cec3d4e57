package keys

import (
	"crypto/sha256"
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

func TestEveryBitOfADigestIsCompared(t *testing.T) {
	one := Digest(sha256.Sum256([]byte("one")))
	other := one
	if !one.Is(&other) || !other.Is(&one) || !one.Is(&one) {
		t.Error("a digest is not itself")
	}
	for bit := range 8 * len(one) {
		other[bit/8] ^= 1 << (bit % 8)
		if one.Is(&other) || other.Is(&one) {
			t.Errorf("bit %d is not compared", bit)
		}
		other[bit/8] ^= 1 << (bit % 8)
	}
	// Differences must not make up for each other.
	for first := range len(one) {
		for second := range first {
			other[first] ^= 0x81
			other[second] ^= 0x81
			if one.Is(&other) {
				t.Errorf("differences in bytes %d and %d cancel out", second, first)
			}
			other = one
		}
	}
}

// The time that comparing takes can't be judged on a machine that does other
// things as well. What makes it the same each time can: one loop over all of
// the digest, and nothing in it that goes another way for another digest.
func TestComparingDigestsTakesOneWayForAll(t *testing.T) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "secret.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	loops, returns := 0, 0
	for _, d := range file.Decls {
		function, ok := d.(*ast.FuncDecl)
		if !ok || function.Name.Name != "Is" {
			continue
		}
		last := function.Body.List[len(function.Body.List)-1]
		ast.Inspect(function.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.IfStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.BranchStmt, *ast.DeferStmt, *ast.FuncLit:
				t.Errorf("%s goes another way for another digest", files.Position(n.Pos()))
			case *ast.BinaryExpr:
				if n.Op == token.LAND || n.Op == token.LOR {
					t.Errorf("%s goes on only for some", files.Position(n.Pos()))
				}
			case *ast.ForStmt, *ast.RangeStmt:
				loops++
			case *ast.ReturnStmt:
				if returns++; n != last {
					t.Errorf("%s returns early", files.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if loops != 1 || returns != 1 {
		t.Errorf("%d loops and %d returns: this test looks in the wrong place", loops, returns)
	}
}
