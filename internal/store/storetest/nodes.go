package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/caddy-keywarden/keywarden/internal/keys"
)

var nodeTests = map[string]func(*suite){
	"a node is known with all that it told":              nodesTold,
	"a beat says where a node has come to":               nodesBeat,
	"a beat of a node that is not known is refused":      nodesUnknown,
	"nodes come in the order of their start":             nodesOrder,
	"a node that has left is forgotten":                  nodesLeft,
	"a node that is gone is neither listed nor kept":     nodesGone,
	"a silent node is not live, and not gone yet":        nodesSilent,
	"what nodes say is no change":                        nodesNoChange,
	"the last change comes with the nodes":               nodesLast,
	"what others declare is told, and not one's own":     nodesDeclared,
	"what a node declares is replaced whole":             nodesDeclareAgain,
	"hostile names and patterns come back as they went":  nodesHostile,
	"many nodes may beat while changes are made":         nodesMany,
	"after a beat, a change is as durable as before one": nodesThenChange,
}

// newNode returns a node that has an hour before it is gone.
func newNode(name string) keys.Node {
	return keys.Node{
		ID: "node_" + name, Name: "host-" + name + ":1", Version: "v1.2.3", StartedAt: start,
		Lease: time.Minute, Keeps: time.Hour, Applied: 7, Skew: -1500 * time.Millisecond,
	}
}

func (s *suite) putNode(n keys.Node, apis ...keys.Declared) {
	s.Helper()
	_, err := s.PutNode(s.Context(), n, apis)
	s.must(err)
}

func (s *suite) nodes() []keys.Node {
	s.Helper()
	nodes, _, err := s.Nodes(s.Context())
	s.must(err)
	return nodes
}

func (s *suite) nodeNames() (names []string) {
	s.Helper()
	for _, n := range s.nodes() {
		names = append(names, strings.TrimPrefix(n.ID, "node_"))
	}
	return names
}

// equalNode compares what a node told.
func (s *suite) equalNode(got, want keys.Node) {
	s.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(keys.Node{}, "SeenAt", "Silence")); diff != "" {
		s.Fatalf("node (-want +got):\n%s", diff)
	}
}

func nodesTold(s *suite) {
	s.equal("nodes", s.nodes(), []keys.Node{})
	want := newNode("a")
	began := time.Now()
	seen, err := s.PutNode(s.Context(), want, nil)
	s.must(err)
	got := s.handle(keys.Options{}) // another node's
	nodes, _, err := got.Nodes(s.Context())
	s.must(err)
	s.equal("how many", len(nodes), 1)
	s.equalNode(nodes[0], want)
	s.equal("seen", nodes[0].SeenAt, seen)
	// The store may run on another machine, but in tests it does not.
	if off := seen.Sub(began).Abs(); off > time.Minute || nodes[0].Silence < 0 || nodes[0].Silence > time.Minute || !nodes[0].Live() {
		s.Fatalf("seen at %s, began at %s, silent for %s", seen, began, nodes[0].Silence)
	}
	want.Name, want.Keeps, want.Applied = "other", 2*time.Hour, 1
	s.putNode(want)
	s.equal("how many", len(s.nodes()), 1)
	s.equalNode(s.nodes()[0], want)
}

func nodesBeat(s *suite) {
	n := newNode("a")
	s.putNode(n)
	s.putNode(newNode("b"))
	before := s.nodes()[0].SeenAt
	for _, p := range []keys.Pulse{{Applied: 8, Skew: time.Hour}, {Applied: 1 << 40}, {Applied: 2, Skew: -time.Millisecond}} {
		seen, err := s.Beat(s.Context(), n.ID, p)
		s.must(err)
		n.Applied, n.Skew = p.Applied, p.Skew
		s.equalNode(s.nodes()[0], n)
		if s.nodes()[0].SeenAt != seen || seen.Before(before) {
			s.Fatalf("seen at %s, then at %s and %s", before, seen, s.nodes()[0].SeenAt)
		}
	}
	s.equalNode(s.nodes()[1], newNode("b"))
}

func nodesUnknown(s *suite) {
	s.putNode(newNode("a"))
	for _, id := range []string{"", "node_b", "node_A", "%"} {
		_, err := s.Beat(s.Context(), id, keys.Pulse{})
		s.mustBe(err, keys.ErrNoSuchNode)
	}
	s.equal("nodes", s.nodeNames(), []string{"a"})
}

func nodesOrder(s *suite) {
	for i, name := range []string{"c", "a", "b", "d"} {
		n := newNode(name)
		if name != "d" {
			n.StartedAt = start.Add(time.Duration(-i) * time.Millisecond)
		}
		s.putNode(n)
	}
	s.equal("nodes", s.nodeNames(), []string{"b", "a", "c", "d"})
}

func nodesLeft(s *suite) {
	s.putNode(newNode("a"))
	s.putNode(newNode("b"), keys.Declared{Name: "rest"})
	s.must(s.DropNode(s.Context(), "node_b"))
	s.must(s.DropNode(s.Context(), "node_b"))
	s.equal("nodes", s.nodeNames(), []string{"a"})
	s.equal("declared", s.declared(""), []keys.Declared{})
	_, err := s.Beat(s.Context(), "node_b", keys.Pulse{})
	s.mustBe(err, keys.ErrNoSuchNode)
}

func nodesGone(s *suite) {
	gone := newNode("a")
	gone.Lease, gone.Keeps = 0, 0
	s.putNode(gone, keys.Declared{Name: "rest"})
	s.putNode(newNode("b"))
	s.equal("nodes", s.nodeNames(), []string{"b"})
	s.equal("declared", s.declared(""), []keys.Declared{})
	_, err := s.Beat(s.Context(), gone.ID, keys.Pulse{}) // it may come back until it is pruned
	s.must(err)
	s.must(s.PruneNodes(s.Context()))
	_, err = s.Beat(s.Context(), gone.ID, keys.Pulse{})
	s.mustBe(err, keys.ErrNoSuchNode)
	s.equal("nodes", s.nodeNames(), []string{"b"})
	s.putNode(newNode("a"))
	s.equal("nodes", s.nodeNames(), []string{"a", "b"})
}

func nodesSilent(s *suite) {
	n := newNode("a")
	n.Lease = -time.Minute // it ran out before it began
	s.putNode(n)
	s.must(s.PruneNodes(s.Context()))
	got := s.nodes()
	s.equal("how many", len(got), 1)
	s.equal("live", got[0].Live(), false)
}

func nodesNoChange(s *suite) {
	s.created("a")
	s.unchanged(func() {
		s.putNode(newNode("a"), keys.Declared{Name: "rest"})
		_, err := s.Beat(s.Context(), "node_a", keys.Pulse{Applied: 3})
		s.must(err)
		s.must(s.PruneNodes(s.Context()))
		s.must(s.DropNode(s.Context(), "node_a"))
	})
}

func nodesLast(s *suite) {
	for want := range keys.Seq(3) {
		for range 2 { // without any node, and with one
			_, last, err := s.Nodes(s.Context())
			s.must(err)
			s.equal("last change", last, want)
			s.putNode(newNode("a"))
		}
		s.must(s.DropNode(s.Context(), "node_a"))
		s.created("a")
	}
}

func (s *suite) declared(without string) []keys.Declared {
	s.Helper()
	all, err := s.Declared(s.Context(), without)
	s.must(err)
	return all
}

func nodesDeclared(s *suite) {
	rest := keys.Declared{Name: "rest", Title: "REST", Patterns: []string{"/rest/*"}, Endpoints: []string{"users"}}
	graphql := keys.Declared{Name: "graphql", Patterns: []string{"/graphql"}}
	late := newNode("a")
	late.StartedAt = start.Add(time.Second)
	s.putNode(late, graphql, rest)
	s.putNode(newNode("b"), rest)
	s.putNode(newNode("c"))
	s.equal("declared", s.declared(""), []keys.Declared{rest, graphql, rest})
	s.equal("declared by others than a", s.declared("node_a"), []keys.Declared{rest})
	s.equal("declared by others than c", len(s.declared("node_c")), 3)
	_, err := s.Beat(s.Context(), "node_a", keys.Pulse{})
	s.must(err)
	s.equal("declared after a beat", len(s.declared("")), 3)
}

func nodesDeclareAgain(s *suite) {
	s.putNode(newNode("a"), keys.Declared{Name: "one"}, keys.Declared{Name: "two"})
	s.putNode(newNode("a"), keys.Declared{Name: "three"})
	s.equal("declared", s.declared(""), []keys.Declared{{Name: "three"}})
	s.putNode(newNode("a"))
	s.equal("declared", s.declared(""), []keys.Declared{})
}

func nodesHostile(s *suite) {
	n := newNode("a")
	n.Name, n.Version = "NOW'; DROP TABLE nodes; --\u202e\n🙂", `$1 %s "`
	api := keys.Declared{Name: "a", Title: strings.Repeat("é\"\\", 10_000), Patterns: []string{"/{endpoint}/'/*", ""}}
	s.putNode(n, api)
	s.equalNode(s.nodes()[0], n)
	s.equal("declared", s.declared(""), []keys.Declared{api})
}

func nodesMany(s *suite) {
	var nodes sync.WaitGroup
	const each = 20
	for i := range 8 {
		nodes.Go(func() {
			n := newNode(fmt.Sprint(i))
			_, err := s.PutNode(s.Context(), n, nil)
			for at := range keys.Seq(each) {
				_, beat := s.Beat(s.Context(), n.ID, keys.Pulse{Applied: at + 1})
				err = errors.Join(err, beat, s.PruneNodes(s.Context()))
			}
			if err != nil {
				s.Error(err)
			}
		})
	}
	for range each {
		s.created("a")
	}
	nodes.Wait()
	for _, n := range s.nodes() {
		s.equal("applied by "+n.ID, n.Applied, keys.Seq(each))
	}
	s.equal("how many", len(s.nodes()), 8)
	s.equal("changes", len(s.changes(0, 100)), each)
}

func nodesThenChange(s *suite) {
	s.putNode(newNode("a"))
	k := s.created("a")
	s.reopen()
	s.equal("name", s.get(k.Key.ID).Name, "a")
	s.equal("nodes", s.nodeNames(), []string{"a"})
}
