package faulttest

import "strings"

// graphNodes is the number of nodes of a Graph.
const graphNodes = 3

// Graphs is the number of connectivity graphs of three nodes.
const Graphs = 1 << (graphNodes * (graphNodes - 1))

// FullGraph has every direction.
const FullGraph Graph = Graphs - 1

// Graph says, for each of the six directions between three nodes, whether it
// carries anything. Any number below Graphs is one.
type Graph uint8

// Up reports whether what one node sends to another arrives. Ids count from 1.
func (g Graph) Up(from, to int) bool { return g>>directionBit(from, to)&1 == 1 }

// directionBit numbers the directions: 1→2, 1→3, 2→1, 2→3, 3→1, 3→2.
func directionBit(from, to int) int {
	bit := (from - 1) * (graphNodes - 1)
	if to > from {
		return bit + to - 2
	}
	return bit + to - 1
}

// Cut returns g without one direction.
func (g Graph) Cut(from, to int) Graph { return g &^ (1 << directionBit(from, to)) }

// Isolate returns g without all directions to and from one node.
func (g Graph) Isolate(id int) Graph {
	for other := 1; other <= graphNodes; other++ {
		if other != id {
			g = g.Cut(id, other).Cut(other, id)
		}
	}
	return g
}

// pairs counts the pairs of nodes with both directions, and those with none.
func (g Graph) pairs() (both, none int) {
	for a := 1; a <= graphNodes; a++ {
		for b := a + 1; b <= graphNodes; b++ {
			switch {
			case g.Up(a, b) && g.Up(b, a):
				both++
			case !g.Up(a, b) && !g.Up(b, a):
				none++
			}
		}
	}
	return both, none
}

// Serves reports whether some node has working two-way links to a quorum: with
// three nodes, to one other. Then the groups must make progress (G8); otherwise
// nothing can be chosen.
func (g Graph) Serves() bool {
	both, _ := g.pairs()
	return both > 0
}

// String lists the directions, and the shape if it has a name. The names are
// those of Ng, Haridi and Carbone, "Omni-Paxos" (EuroSys 2023), §2, as far as
// three nodes can show them:
//
//	quorum-loss  one two-way link; the third node is heard, or hears, but has
//	             no two-way link: it may go on to believe, or be believed, that
//	             it leads
//	constrained  one two-way link; the third node is cut off
//	chained      two two-way links; the two ends are cut off from each other
func (g Graph) String() string {
	var b strings.Builder
	for from := 1; from <= graphNodes; from++ {
		for to := 1; to <= graphNodes; to++ {
			if from == to || !g.Up(from, to) {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteByte(byte('0' + from))
			b.WriteString("→")
			b.WriteByte(byte('0' + to))
		}
	}
	switch both, none := g.pairs(); {
	case g == FullGraph:
		return "full"
	case g == 0:
		return "nothing"
	case both == 2 && none == 1:
		b.WriteString(" (chained)")
	case both == 1 && none == 2:
		b.WriteString(" (constrained)")
	case both == 1:
		b.WriteString(" (quorum-loss)")
	case both == 0:
		b.WriteString(" (no quorum)")
	}
	return b.String()
}
