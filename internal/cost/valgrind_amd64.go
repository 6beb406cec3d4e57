package cost

import (
	"strconv"
	"unsafe"
)

// What callgrind can be asked for (callgrind.h of valgrind 3).
const (
	tool                 = 'C'<<24 | 'T'<<16
	zeroCounts           = tool + 1
	dumpCountsAt         = tool + 3
	startInstrumentation = tool + 4
	stopInstrumentation  = tool + 5
)

// request asks valgrind for something. On a real processor it does nothing.
//
//go:noescape
func request(args *[6]uintptr)

// begin counts from now on. Valgrind is many times faster as long as nothing is counted.
func begin() {
	request(&[6]uintptr{startInstrumentation})
	request(&[6]uintptr{zeroCounts})
}

// end writes down what was counted since begin, of n operations.
func end(name string, n int) {
	text := append([]byte(name+" "+strconv.Itoa(n)), 0)
	request(&[6]uintptr{dumpCountsAt, uintptr(unsafe.Pointer(&text[0]))}) // it reads text before it returns
	request(&[6]uintptr{stopInstrumentation})
}
