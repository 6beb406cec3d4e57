//go:build !race

package e2e

const binaryName = "keywarden"
