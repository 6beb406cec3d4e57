// Package consoletest uses the console as people do: a real Chromium against
// the real binary. It leaves a picture of each state in the folder
// screenshots, to be looked at.
package consoletest
