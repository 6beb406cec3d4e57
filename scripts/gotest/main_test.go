package main

import (
	"strings"
	"testing"
)

func reportOf(t *testing.T, lines ...string) (string, bool) {
	t.Helper()
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	ok := r.close()
	return out.String(), ok
}

func TestPassedTestsAreQuietAndPackagesAreNot(t *testing.T) {
	out, ok := reportOf(t,
		`{"Action":"start","Package":"p"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Output":"PASS\n"}`,
		`{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}`,
		`{"Action":"pass","Package":"p"}`,
		`{"Action":"skip","Package":"q"}`)
	if want := "ok  \tp\t0.1s\n1 passed, 0 failed, 0 skipped\n"; out != want || !ok {
		t.Errorf("reported %q, %t; want %q", out, ok, want)
	}
}

func TestSkippedTestFailsTheRun(t *testing.T) {
	out, ok := reportOf(t,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:3: no network\n"}`,
		`{"Action":"skip","Package":"p","Test":"TestB"}`)
	if ok || !strings.Contains(out, "p TestB") || !strings.Contains(out, "no network") {
		t.Errorf("reported %q, %t", out, ok)
	}
}

func TestFailedTestsBuildErrorsAndForeignLinesAreShown(t *testing.T) {
	out, _ := reportOf(t,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: wrong\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestA"}`,
		`{"Action":"build-output","ImportPath":"q","Output":"q.go:1:1: syntax error\n"}`,
		`not json`)
	for _, want := range []string{"a_test.go:9: wrong", "syntax error", "not json"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q lacks %q", out, want)
		}
	}
}

func TestOutputOfATestThatCrashedIsShown(t *testing.T) {
	out, ok := reportOf(t, `{"Action":"output","Package":"p","Test":"TestA","Output":"panic: oh\n"}`)
	if ok || !strings.Contains(out, "panic: oh") {
		t.Errorf("reported %q, %t", out, ok)
	}
}

func TestNoTestAtAllFails(t *testing.T) {
	if out, ok := reportOf(t, `{"Action":"skip","Package":"q"}`); ok || !strings.Contains(out, "no test ran") {
		t.Errorf("reported %q, %t", out, ok)
	}
}
