// Package cost lets benchmarks be counted: how many instructions an operation
// takes, in a test binary that runs under valgrind's callgrind. Times depend on
// the machine and on what else it does; instructions hardly do. Command baseline
// runs the benchmarks and compares what comes of it; this package compares nothing.
package cost

import "testing"

// Run is b.Run of a benchmark that does op over and over. What it does before
// the first operation is not counted, nor is the first operation itself.
func Run(b *testing.B, name string, op func()) {
	b.Run(name, func(b *testing.B) { measure(b, op) })
}

func measure(b *testing.B, op func()) {
	b.ReportAllocs()
	op()
	b.ResetTimer()
	begin()
	for range b.N {
		op()
	}
	end(b.Name(), b.N)
}
