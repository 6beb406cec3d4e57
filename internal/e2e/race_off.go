//go:build !race

package e2e

import "os"

const (
	binaryName   = "keywarden"
	memoryFactor = 1
)

func built() bool { return os.Getenv("KEYWARDEN_BUILT") != "" } // make test has just done it
