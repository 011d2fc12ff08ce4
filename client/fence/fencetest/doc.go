// Package fencetest proves that what a lock guards refuses stale holders, for any
// guard: write a Resource over it and call Run from a test.
//
//	func TestBucketGuard(t *testing.T) {
//		fencetest.Run(t, func(t *testing.T) fencetest.Resource { return newBucket(t) })
//	}
//
// What is proved, each in a test of its own: a stale writer after a newer one is
// refused and changes nothing; equal tokens are accepted; tokens are numbers, not
// text; names are apart, down to case and spaces; what no grant has is refused; of
// writers that run side by side the one with the largest token has the last word;
// and, for a Resource that is a Crasher, that no crash between the check and the
// write lets an older writer in over what a newer one wrote.
//
// Tests find faults; they do not show that there are none. A check that is not one
// step with the write is found by chance only, so give the guard as many conns
// and processes as it has in earnest.
package fencetest
