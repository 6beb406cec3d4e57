//go:build !race

package e2e

import "os"

const binaryName = "keywarden"

func built() bool { return os.Getenv("KEYWARDEN_BUILT") != "" } // make test has just done it
