package admin

import (
	"context"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

// Fleet is this node among those on the same store. fleet.Member is one.
type Fleet interface {
	// ID names this node.
	ID() string
	// Await waits until all changes so far hold on every node, at most until
	// ctx ends, and returns those on which they are not known to hold. An
	// error says that nothing is known.
	Await(ctx context.Context) ([]keys.Node, error)
}

// listNodes is GET /v1/nodes.
func (a *api) listNodes(c *call) (any, error) {
	if err := c.faults.err(); err != nil {
		return nil, err
	}
	nodes, last, err := a.Store.Nodes(c.ctx)
	if err != nil {
		return nil, err
	}
	list := NodeList{Data: make([]Node, len(nodes)), LastSeq: int64(last)}
	for i := range nodes {
		list.Data[i] = showNode(&nodes[i], last, a.nodeID())
	}
	return list, nil
}

// nodeID is this node's; "" if it is none.
func (a *api) nodeID() string {
	if a.Fleet == nil {
		return ""
	}
	return a.Fleet.ID()
}

func showNode(n *keys.Node, last keys.Seq, self string) Node {
	return Node{
		ID: n.ID, Name: n.Name, Version: n.Version, Self: n.ID == self, Live: n.Live(),
		StartedAt: n.StartedAt.UTC(), SeenAt: n.SeenAt.UTC(),
		AppliedSeq: int64(n.Applied), Lag: int64(max(0, last-n.Applied)), ClockSkewMS: n.Skew.Milliseconds(),
	}
}
