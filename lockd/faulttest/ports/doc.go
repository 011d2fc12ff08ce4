// Package ports gives out ports of loopback that nobody else is given, neither
// by this process nor by another one that asks this package.
//
// A process that starts others has to name their ports before they listen, and
// while one of them is down nobody listens at its port at all. So whoever wants
// ports claims a block of them for as long as it has use for them. The claim is
// a listener at the first port of the block: the kernel lets one process have
// it, and takes it back when the process dies, however it dies. The blocks lie
// below the ports that the kernel hands out by itself, so no conn is given one.
//
// Strangers know nothing of blocks. A port that somebody listens at when it is
// asked for is passed over.
//
// The package is for tests and measurements.
package ports
