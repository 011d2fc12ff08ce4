// Package launch starts the servers that are measured, as real processes with
// directories and loopback ports of their own, and stops them. A process that
// perf started never outlives it.
//
// A Launcher knows one kind of server: its command line and when it is ready.
// Process knows the rest: output to a file, kill, restart, CPU time.
package launch
