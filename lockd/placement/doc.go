// Package placement says of what nodes a cluster is made, which of them keep
// which group, and by what steps a group gets from one set of nodes to another.
// It is pure: it decides, lockd/node carries out.
//
// Three registers of the lock machines hold what it describes (lockfsm.Register):
//
//	"cluster"   of group 0: the Record, that is the nodes and every group's home
//	"replicas"  of each group: the Seats, that is who accepts and who observes
//	"record"    of each group: which Record its log has seen
//
// The Record says what is wanted. An operator changes it, one Change at a time.
// The Seats say what is so. The leader of each group compares the two and takes
// the next Step on its own; whoever leads next goes on from what the log says,
// so a move survives the death of any leader at any moment.
//
//	Record   version u8 = 1 | replicas u8 | format u16 |
//	         nodes u16, each: id u16 | disk u64 | state u8 |
//	                          retired u8, each: disk u64 |
//	                          peer address: length u8, bytes |
//	                          client address: length u8, bytes
//	         homes u16, each: nodes u8, each: id u16
//	Seats    version u8 = 1 | before | now, each:
//	         from u64 | acceptors u8, each: node u16, disk u64 |
//	         observers u8, each: node u16
//	seen     version u8 = 1 | version of the record u64
//
// A change of acceptors goes three steps:
//
//	(A, O)            the acceptors A are not those of the home, H
//	(A, O + H−A)      newcomers observe, and catch up
//	(H, O + A−H)      once they have: H accepts, those who leave observe
//	(H, –)            once H can do without them: they are let go (I5)
//
// The first of a home leads whenever it can. Move changes who that is, for one
// group, by having two nodes of the home change places. It holds, also when a
// node's disk is replaced, until a node joins or leaves: then replicas and
// leaderships are made even again, with as few of them passed on as that takes,
// and what follows depends on the record and the change alone.
//
// Identity: a node is its id and the random id of its disk. A disk that was
// replaced is never admitted again, and an id that left is never given out
// again (I7).
package placement
