//go:build !amd64

package cost

// Elsewhere nothing is counted.
func begin() {}

func end(string, int) {}
