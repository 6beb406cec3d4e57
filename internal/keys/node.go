package keys

import "time"

// Node is a running gateway, as the store knows it.
type Node struct {
	ID        string // made anew at each start
	Name      string // what people call it: its host and process
	Version   string // of the product
	StartedAt time.Time
	// SeenAt is when it was last heard of, and Silence how long ago that is,
	// both by the store's clock: the nodes' own may differ.
	SeenAt  time.Time
	Silence time.Duration
	// Lease is how long a silence may be before the node counts as not live.
	Lease time.Duration
	// Keeps is how long the node may go on answering for cached keys without
	// reaching the store. After a silence of Lease and Keeps together it is
	// gone: whatever it does, it lets nobody in by what it remembers.
	Keeps time.Duration
	// Applied is the last change that holds on the node.
	Applied Seq
	// Skew is how far the node's clock is ahead of the store's.
	Skew time.Duration
}

// Live reports whether the node was heard of lately.
func (n *Node) Live() bool { return n.Silence <= n.Lease }

// Declared is an API as the configuration of some node declares it.
type Declared struct {
	Name      string   `json:"name"`
	Title     string   `json:"title"`
	Patterns  []string `json:"patterns"`
	Endpoints []string `json:"endpoints"`
}

// Pulse is what a node tells again and again.
type Pulse struct {
	Applied Seq
	Skew    time.Duration
}
