//go:build !older

package main

// newestFormat is the newest format of batches that this build knows; zero
// means all there are.
const newestFormat = 0
