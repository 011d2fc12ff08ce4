// Package quorum answers one question: is this set of acceptors enough?
//
// A System has n acceptors, numbered from zero, and two quorum sizes. Agreement
// needs every prepare quorum to meet every accept quorum, that is prepare +
// accept > n (Howard, Malkhi and Spiegelman, "Flexible Paxos", §3). Majority
// makes one whose quorums are majorities; the methods hold for any two sizes that
// meet. The package holds no state and knows neither nodes nor slots: the caller
// maps acceptors of one configuration to positions.
package quorum
