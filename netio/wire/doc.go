// Package wire decides what clients and nodes, and nodes and nodes, say to each
// other, byte by byte. It is pure: it neither reads sockets nor looks at clocks.
package wire
