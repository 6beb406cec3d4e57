//go:build race

package e2e

// binaryName is the program that the tests start: with the race detector where
// they run under it themselves. `make race` builds it.
const binaryName = "keywarden-race"
