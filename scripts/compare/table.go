package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// row is one line of the table.
type row struct {
	Name, Does           string
	Connections          int
	PerSecond, Spread    float64
	P50, P99             float64 // ms
	CPU, CPUSpread       float64 // µs a request
	Resident             float64 // MiB
	Throughput, CPURatio float64 // against its own proxy
	Base                 bool    // it is that proxy
}

// table is what a comparison comes to.
type table struct {
	options
	rows    []row
	missing []string
}

func newTable(o options, all []*series, missing []string) *table {
	t := &table{options: o, missing: missing}
	bases := map[string]*series{}
	perSecond := func(r round) float64 { return r.perSecond }
	cpu := func(r round) float64 { return micros(r.cpu) }
	for _, s := range all {
		r := row{Name: s.name, Does: s.does, Connections: s.connections(), Base: s.name == s.family}
		r.PerSecond, r.Spread = s.median(perSecond)
		r.P50, _ = s.median(func(r round) float64 { return micros(r.p50) / 1000 })
		r.P99, _ = s.median(func(r round) float64 { return micros(r.p99) / 1000 })
		r.CPU, r.CPUSpread = s.median(cpu)
		r.Resident, _ = s.median(func(r round) float64 { return r.resident })
		if r.Base {
			bases[s.family] = s
		}
		if base := bases[s.family]; base != nil {
			r.Throughput, r.CPURatio = s.ratio(base, perSecond), s.ratio(base, cpu)
		}
		t.rows = append(t.rows, r)
	}
	return t
}

func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rounds of %s in turns, medians and half of the range; %d keys, each request with another one; %d CPUs, %s, %s.\n",
		t.rounds, t.length, t.keys, runtime.NumCPU(), runtime.GOARCH, runtime.Version())
	b.WriteString("CPU is the gateway's, and that of the service that it asks; MiB is what the gateway has resident after it. Ratios are to its own proxy without authentication in the same round, and their median.\n\n")
	if t.scale {
		fmt.Fprintf(&b, "The large cases have %d rounds of %s; up to 100 000 of their keys are used, and were before.\n\n", min(t.rounds, largeRounds), largeTimes*t.length)
	}
	b.WriteString("| gateway | connections | requests/s | ± | p50 ms | p99 ms | CPU µs/request | ± | MiB | throughput ratio | CPU ratio |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s: %s | %d | %.0f | %.0f | %.2f | %.2f | %.1f | %.1f | %.0f | %.2f | %.2f |\n",
			r.Name, r.Does, r.Connections, r.PerSecond, r.Spread, r.P50, r.P99, r.CPU, r.CPUSpread, r.Resident, r.Throughput, r.CPURatio)
	}
	for _, m := range t.missing {
		fmt.Fprintf(&b, "\nLeft out: %s.\n", m)
	}
	return b.String()
}

//go:embed plot.svg.tmpl
var plotText string

var plotTemplate = template.Must(template.New("plot").Parse(plotText))

// bar is one bar of the plot: throughput against its own proxy.
type bar struct {
	Name, Label string
	Y, Width    float64
	Ours        bool
}

func (t *table) plot() ([]byte, error) {
	const full, step = 420, 26
	var bars []bar
	for _, r := range t.rows {
		if r.Base || r.Throughput == 0 {
			continue
		}
		bars = append(bars, bar{r.Name, fmt.Sprintf("%.2f", r.Throughput), 46 + step*float64(len(bars)), full * min(r.Throughput, 1.3), strings.HasPrefix(r.Name, "Keywarden")})
	}
	var out bytes.Buffer
	err := plotTemplate.Execute(&out, map[string]any{"Bars": bars, "Height": 60 + step*len(bars), "One": 190 + full})
	return out.Bytes(), err
}

// write writes the table and the plot.
func (t *table) write(docs string) error {
	text := "# Beside what people would use instead\n\nMade by `make compare` on " + time.Now().UTC().Format(time.DateOnly) +
		". Machines differ: read the ratios, and run it on yours.\n\n![Throughput against each gateway's own proxy](compare.svg)\n\n" + t.markdown()
	if err := os.WriteFile(filepath.Join(docs, "compare.md"), []byte(text), 0o644); err != nil { //nolint:gosec // a document
		return err
	}
	picture, err := t.plot()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "compare.svg"), picture, 0o644) //nolint:gosec // a document
}
