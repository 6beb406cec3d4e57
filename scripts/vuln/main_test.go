package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// aDatabase answers the index with a status.
func aDatabase(t *testing.T, status int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/index/db.json" {
			t.Errorf("asked for %s", r.URL)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func ends(t *testing.T, db, script string) (int, string) {
	t.Helper()
	var out strings.Builder
	status := look(t.Context(), db, []string{"sh", "-c", script}, &out)
	return status, out.String()
}

func TestVulnerabilitiesThatAreCalledFailTheRun(t *testing.T) {
	for script, want := range map[string]int{"echo fine": 0, "echo found; exit 3": 1, "echo broken; exit 1": 1} {
		for _, db := range []string{aDatabase(t, http.StatusOK), aDatabase(t, http.StatusOK) + "/", "file://" + t.TempDir()} {
			status, out := ends(t, db, script)
			if status != want || strings.Contains(out, "LEFT OUT") || !strings.Contains(out, strings.Fields(strings.Trim(script, ";"))[1][:4]) {
				t.Errorf("%s: %q with %s ends with %d and says %s", db, script, db, status, out)
			}
		}
	}
}

func TestWithoutTheDatabaseTheRunSaysThatNothingWasChecked(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	ran := filepath.Join(t.TempDir(), "ran")
	for _, db := range []string{closed.URL, aDatabase(t, http.StatusForbidden), aDatabase(t, http.StatusBadGateway)} {
		status, out := ends(t, db, "touch "+ran+"; exit 3")
		if status != 0 || !strings.Contains(out, "LEFT OUT: nothing was checked") || !strings.Contains(out, db) {
			t.Errorf("%s: ends with %d and says %s", db, status, out)
		}
	}
	if found, _ := filepath.Glob(ran); len(found) != 0 {
		t.Error("the command was run")
	}
}

func TestADatabaseThatGoesAwayMeanwhileFailsNobody(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	if status, out := ends(t, server.URL, "exit 1"); status != 0 || !strings.Contains(out, "LEFT OUT") {
		t.Errorf("ends with %d and says %s", status, out)
	}
	asked = 0
	if status, out := ends(t, server.URL, "exit 3"); status != 1 {
		t.Errorf("what was found before is forgotten: ends with %d and says %s", status, out)
	}
}

func TestACommandThatIsNoneFailsTheRun(t *testing.T) {
	var out strings.Builder
	if status := look(t.Context(), "file:///nowhere", []string{filepath.Join(t.TempDir(), "none")}, &out); status != 1 {
		t.Errorf("ends with %d and says %s", status, out.String())
	}
}
