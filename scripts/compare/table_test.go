package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func measured(name, family string, perSecond ...float64) *series {
	s := &series{subject: subject{name: name, family: family, does: "a thing"}}
	for _, n := range perSecond {
		s.rounds = append(s.rounds, round{perSecond: n, cpu: time.Duration(1e9 / n), p50: time.Millisecond, p99: 2 * time.Millisecond})
	}
	return s
}

func TestATableComparesEachWithItsOwnProxy(t *testing.T) {
	made := newTable(options{rounds: 3, length: time.Second, keys: 5}, []*series{
		measured("bare", "bare", 1000, 500, 2000), measured("Keywarden", "bare", 950, 900, 970),
		measured("other", "other", 100, 100, 100), measured("other with keys", "other", 25, 25, 25),
	}, []string{"HAProxy (haproxy is not installed)"})
	ours := made.rows[1]
	if ours.PerSecond != 950 || ours.Throughput != 0.95 || ours.Spread != 35 { // 0.95, 1.8 and 0.485 in the rounds
		t.Errorf("median %v, ratio %v, spread %v; want 950, 0.95, 35", ours.PerSecond, ours.Throughput, ours.Spread)
	}
	if got := made.rows[3].CPURatio; got != 4 {
		t.Errorf("CPU ratio %v, want 4", got)
	}
	text := made.markdown()
	for _, want := range []string{"3 rounds of 1s", "| other with keys: a thing | 64 | 25 |", "Left out: HAProxy (haproxy is not installed)."} {
		if !strings.Contains(text, want) {
			t.Errorf("the table has no %q:\n%s", want, text)
		}
	}
	const large = "The large cases have 3 rounds"
	if strings.Contains(text, large) {
		t.Error("the table speaks of large cases, and has none")
	}
	made.rounds, made.scale = 5, true
	if !strings.Contains(made.markdown(), large) {
		t.Error("the table does not say how often large cases were measured")
	}
}

func TestTheResultsAreWrittenAsATableAndAPlot(t *testing.T) {
	docs := t.TempDir()
	made := newTable(options{rounds: 1}, []*series{measured("<bare>", "<bare>", 100), measured("Keywarden & co", "<bare>", 99)}, nil)
	if err := made.write(docs); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(docs, "compare.md")); err != nil || !strings.Contains(string(text), "compare.svg") {
		t.Errorf("the document does not show the plot: %v", err)
	}
	plot, err := os.Open(filepath.Join(docs, "compare.svg"))
	if err != nil {
		t.Fatal(err)
	}
	defer plot.Close()
	rects := 0
	for decoder := xml.NewDecoder(plot); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			rects++
		}
	}
	if rects != 1 {
		t.Errorf("%d bars, want one: a proxy is not compared with itself", rects)
	}
}
