package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

func TestSeveralProcessesOpenAnEmptyDatabaseTogether(t *testing.T) {
	for range 4 {
		path := filepath.Join(t.TempDir(), "new", "keys.db")
		var all []*process
		for range 5 {
			all = append(all, startProcess(t, "open", path))
		}
		for _, p := range all {
			if !p.lines.Scan() {
				t.Error("nothing was acknowledged")
			}
			if err := p.Wait(); err != nil {
				t.Error(err)
			}
		}
		s := openTest(t, path, keys.Options{})
		if counts, err := s.Counts(t.Context(), time.Now()); err != nil || counts.Active != 5 {
			t.Fatalf("counts %+v, %v", counts, err)
		}
		checkIntegrity(t, path)
	}
}

func TestOfSeveralProcessesOneCreatesTheFirstAdmin(t *testing.T) {
	for range 4 {
		path := filepath.Join(t.TempDir(), "keys.db")
		var all []*process
		for range 5 {
			all = append(all, startProcess(t, "race", path))
		}
		created := 0
		for _, p := range all {
			for p.lines.Scan() {
				created++
			}
			if err := p.Wait(); err != nil {
				t.Error(err)
			}
		}
		if created != 1 {
			t.Errorf("%d processes created the first admin key", created)
		}
	}
}

// Another process writes all the time; this one writes too, and sees every
// change of both in order, soon.
func TestTwoProcessesShareADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := openTest(t, path, keys.Options{})
	other := startProcess(t, "write", path)
	theirs := make(chan keys.ID, 1000)
	go func() {
		defer close(theirs)
		for other.lines.Scan() {
			if id, ok := strings.CutPrefix(other.lines.Text(), "created "); ok {
				theirs <- keys.ID(id)
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last keys.Seq
	for n := range 40 {
		id := <-theirs
		if _, err := s.Get(ctx, id, time.Now()); err != nil {
			t.Fatalf("key of the other process: %v", err)
		}
		create(t, s, testKey("mine"))
		if err := s.AwaitChange(ctx, last); err != nil {
			t.Fatal(err)
		}
		changes, err := s.Changes(ctx, last, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Seq != last+1 {
				t.Fatalf("change %d after %d, in round %d", c.Seq, last, n)
			}
			last = c.Seq
		}
	}
	kill(t, other, 0)
	for range theirs { // until its output ends
	}
	_ = other.Wait() // killed
	checkIntegrity(t, path)
}

func TestChangesOfAnotherProcessAreSeenWithinAHundredMilliseconds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s, other := openTest(t, path, keys.Options{}), openTest(t, path, keys.Options{})
	var late int
	for after := range keys.Seq(20) {
		seen := make(chan time.Time, 1)
		go func() {
			if err := s.AwaitChange(t.Context(), after); err != nil {
				t.Error(err)
			}
			seen <- time.Now()
		}()
		create(t, other, testKey("a"))
		committed := time.Now()
		if lag := (<-seen).Sub(committed); lag > 100*time.Millisecond {
			late++
		}
	}
	// A machine that is busy with other tests may stop for a moment.
	if late > 2 {
		t.Errorf("%d of 20 changes were seen late", late)
	}
}

func TestClosingLeavesOneFileAndTheLock(t *testing.T) {
	folder := t.TempDir()
	s := openTest(t, filepath.Join(folder, "keys.db"), keys.Options{})
	create(t, s, testKey("a"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 2 {
		t.Fatalf("files %v, %v", entries, err)
	}
}
