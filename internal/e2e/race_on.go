//go:build race

package e2e

// binaryName is the program that the tests start: with the race detector where
// they run under it themselves.
const binaryName = "keywarden-race"

// memoryFactor is how much more memory that takes, at most.
const memoryFactor = 10

// built says that make built it before the tests: it takes minutes, so the
// first test that needs it has it built.
func built() bool { return false }
