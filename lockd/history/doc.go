// Package history keeps which holds of locks ended, on one node: who held what, with
// which token, from when to when, and how it ended. It is beside the log and the
// machines: nothing depends on it, and no turn waits for it.
//
// # What is known
//
// A note of the engine says what ended in some slots of a group. For each group the Store
// knows which slots it has: those above After and up to To of its spans. A note of slots that
// it has, as after a restart that applies a part of the log again, changes nothing; one that
// leaves out slots, because a snapshot took their place or a note was dropped, begins a
// new span, and the gap between is told to who asks. Before a checkpoint makes a part of
// the log unneeded, Sync makes all durable that was noted; what is lost in a crash is
// therefore noted again.
//
// # Time
//
// Holds begin and end at log times, which all nodes agree on. What time it was then the
// clocks of a group tell: moments at which log time and the wall clock of this node were
// seen together while the node was up to date. Log time stops when nobody leads, so the
// difference of the two grows in steps; within one it is exact to beatMillis and a beat of
// log time. What began at the log time at which it stopped may have done so before or after.
// Log time stands at zero from the birth of a group until it is used: who leads it then
// notes when that was.
// While a node applies what it missed it sees no such moment, and what lies in between is
// told with how far it may be off.
//
// # Files
//
// Segments, named by a number that rises, of blocks that begin at multiples of 512 bytes.
// All numbers are little-endian; v is an unsigned varint, z a signed one.
//
//	segment  "LKHIST01" | number u64 | 0 …; the first block is at 512
//	block    magic u32 | version u8 | kind u8 (1: holds, 2: carry) | 0 u16 | number u64 |
//	         head bytes u32 | body bytes u32 | least i64 | last i64 | holds u32 |
//	         CRC-32C of the body u32 | CRC-32C of this header, without it, and the head u32 |
//	         0 [12] | head | body
//	head     n v | n × span | n v | n × clock | n v | n × name hash u32, ascending
//	span     group v | after v | slots v | log time v | length v
//	clock    group v | log time v | offset z | seen v, which is above the log time if clocks
//	         between this one and the next may be missing
//	body     hold*
//	hold     how u8 | flags u8 | mode u8 | to u8 | group v | slots since the last hold of
//	         the group in the block v | log time since that v | length v | token since that z |
//	         session v | permits v if flag 16 | owner v if flag 32 | name | client |
//	         who | reason, both if flag 64; flag 128 is a hold that was noted
//	         while it was not known when it was
//	name and the other texts: number v of a text of the block that was before, from 1; or
//	         0 | length v | bytes, which is the next number
//
// The hash of a name is the lower half of h: h = length × 9e3779b97f4a7c15, then for each 8
// bytes, and for the less than 8 that are left, padded with zeros, h = mix(h xor them);
// mix(z): z ^= z>>33, z *= ff51afd7ed558ccd, z ^= z>>33, z *= c4ceb9fe1a85ec53, z ^= z>>33.
//
// Least and last, in milliseconds since 1970, bound when the holds of a block began and
// ended. The carry, the first block of a segment, says where each group stood and
// repeats its last clocks, so that older segments can go. The oldest go first. Its body,
// which may be empty, says what the segment before has, so that a start need not look:
//
//	index    number v | bytes / 512 v | n v | n × block | a head without names
//	block    distance from the end of the one before / 512 v | number since that v | head bytes v |
//	         body bytes v | holds v | last since that z | last - least z | CRC-32C of the body u32
//
// A torn end is cut when the Store is opened; a block that is damaged is passed over and
// named, and its slots are not known.
//
// A Store is steppable and may be used from any goroutine; Loop writes and looks beside
// the engine.
package history
