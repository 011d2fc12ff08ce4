// Package checkpointtest is the contract of a checkpoint store as a test, so
// that the store on Pebble and the one in the simulator's memory are held to
// the same words.
package checkpointtest
