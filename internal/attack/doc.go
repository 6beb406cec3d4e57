// Package attack holds tests alone: it sends to the real gateway what breaks
// gateways of its kind, with real servers behind it that read requests
// differently, and asks each of them what it believed it was asked. It starts
// the servers by the programs that make deps installs, and knows nothing of the
// product but the contract.
package attack
