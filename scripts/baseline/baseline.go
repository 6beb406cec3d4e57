package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
)

// cost is what an operation costs.
type cost struct {
	allocs, bytes float64
	instructions  float64 // 0: not counted
	nanoseconds   float64 // printed and not judged
}

func (c cost) minus(o cost) cost {
	d := cost{allocs: c.allocs - o.allocs, bytes: c.bytes - o.bytes, nanoseconds: c.nanoseconds - o.nanoseconds}
	if c.instructions > 0 && o.instructions > 0 {
		d.instructions = c.instructions - o.instructions
	}
	return d
}

// least is the least of each of two measurements.
func (c cost) least(o cost) cost {
	return cost{
		allocs: min(c.allocs, o.allocs), bytes: min(c.bytes, o.bytes),
		instructions: min(c.instructions, o.instructions), nanoseconds: min(c.nanoseconds, o.nanoseconds),
	}
}

// baseline is what all benchmarks cost, and with what that was measured.
type baseline struct {
	goVersion, cpu string
	costs          map[string]cost
	// uncounted says why instructions were not counted.
	uncounted string
}

// least is the least that either measurement found of each.
func (b baseline) least(o baseline) baseline {
	for name, c := range o.costs {
		if mine, ok := b.costs[name]; ok {
			b.costs[name] = mine.least(c)
		}
	}
	return b
}

func (b baseline) counted() bool { return b.uncounted == "" }

var line = regexp.MustCompile(`^BenchmarkCost/(\S+?)(?:-[0-9]+)?\s+[0-9]+\s+([0-9.]+) ns/op\s+([0-9]+) B/op\s+([0-9]+) allocs/op`)

// parseBenchmarks reads what go test prints of benchmarks that ran several times.
func parseBenchmarks(out string) (map[string]cost, error) {
	costs := map[string]cost{}
	for text := range strings.Lines(out) {
		found := line.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		var values [3]float64
		for i := range values {
			var err error
			if values[i], err = strconv.ParseFloat(found[i+2], 64); err != nil {
				return nil, err
			}
		}
		c := cost{nanoseconds: values[0], bytes: values[1], allocs: values[2]}
		if former, ok := costs[found[1]]; ok {
			c = c.least(former)
		}
		costs[found[1]] = c
	}
	if len(costs) == 0 {
		return nil, errors.New("no BenchmarkCost ran")
	}
	return costs, nil
}

const heading = `# What the request path costs. make costs compares with this, and fails where
# something has grown; make baseline writes it anew. Instructions are counted by
# valgrind, which shows programs the processor below, and depend on the compiler.
`

// String is the form of the file.
func (b baseline) String() string {
	var out strings.Builder
	out.WriteString(heading)
	fmt.Fprintf(&out, "go: %s\ncpu: %s\n", b.goVersion, b.cpu)
	columns := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, name := range b.sortedNames() {
		c := b.costs[name]
		fmt.Fprintf(columns, "%s\t%.0f allocs\t%.0f B\t%.0f instructions\t\n", name, c.allocs, c.bytes, c.instructions)
	}
	_ = columns.Flush() // to memory
	return out.String()
}

func parseBaseline(text string) (baseline, error) {
	b := baseline{costs: map[string]cost{}}
	for text := range strings.Lines(text) {
		text = strings.TrimSpace(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if version, ok := strings.CutPrefix(text, "go: "); ok {
			b.goVersion = version
			continue
		}
		if cpu, ok := strings.CutPrefix(text, "cpu: "); ok {
			b.cpu = cpu
			continue
		}
		var name string
		var c cost
		if _, err := fmt.Sscanf(text, "%s %f allocs %f B %f instructions", &name, &c.allocs, &c.bytes, &c.instructions); err != nil {
			return b, fmt.Errorf("in the line %q: %w", text, err)
		}
		b.costs[name] = c
	}
	return b, nil
}

const (
	// instructionsMargin is by how much a count may be above the recorded one:
	// it varies by one or two percent with how maps happen to lie.
	instructionsMargin = 1.05
	// Bytes are the process', in which something else may have allocated.
	bytesMargin, bytesLeast = 1.05, 16
)

// compare prints now beside then and returns what has grown.
func compare(w io.Writer, then, now baseline) (faults []error) {
	unjudged := now.whyUnjudged(then)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(columns, "\tallocs\t\tB\t\tinstructions\t\ttime, not judged\t\n")
	for _, name := range now.sortedNames() {
		is := now.costs[name]
		was, known := then.costs[name]
		if !known {
			faults = append(faults, fmt.Errorf("%s is not in it", name))
		}
		fmt.Fprintf(columns, "%s\t%.0f\twas %.0f\t%.0f\twas %.0f\t%.0f\twas %.0f\t%.0f ns\t\n",
			name, is.allocs, was.allocs, is.bytes, was.bytes, is.instructions, was.instructions, is.nanoseconds)
		if known {
			faults = append(faults, is.grown(name, was, unjudged == "")...)
		}
	}
	for _, name := range then.sortedNames() {
		if _, measured := now.costs[name]; !measured {
			faults = append(faults, fmt.Errorf("%s was not measured", name))
		}
	}
	_ = columns.Flush() // to a terminal, or a log
	if unjudged != "" {
		fmt.Fprintf(w, "Instructions are not judged: %s.\n", unjudged)
	}
	return faults
}

// whyUnjudged says why instructions can't be compared with then's; "" if they can.
func (b baseline) whyUnjudged(then baseline) string {
	switch {
	case !b.counted():
		return b.uncounted
	case b.goVersion != then.goVersion:
		return fmt.Sprintf("this is %s, and %s was written with %s", b.goVersion, file, then.goVersion)
	case b.cpu != then.cpu:
		return fmt.Sprintf("valgrind shows another processor than in %s", file)
	}
	return ""
}

// grown returns what is more than it was.
func (c cost) grown(name string, was cost, judgeInstructions bool) (faults []error) {
	if c.allocs > was.allocs {
		faults = append(faults, fmt.Errorf("%s: %.0f allocations, was %.0f", name, c.allocs, was.allocs))
	}
	if c.bytes > was.bytes*bytesMargin+bytesLeast {
		faults = append(faults, fmt.Errorf("%s: %.0f bytes allocated, was %.0f", name, c.bytes, was.bytes))
	}
	if judgeInstructions && c.instructions > was.instructions*instructionsMargin {
		faults = append(faults, fmt.Errorf("%s: %.0f instructions, was %.0f (%+.1f %%; %.0f %% are let pass)", name, c.instructions, was.instructions,
			(c.instructions/was.instructions-1)*100, (instructionsMargin-1)*100))
	}
	return faults
}
