// Package disk is the seam between the WAL and the operating system: a
// directory of preallocated files that are written at 4 KiB boundaries, made
// durable with one call, and renamed into place. It is the only package that
// makes file system calls for the WAL, and the only one that uses unsafe (to
// align buffers for direct I/O). As the door to x/sys it also reads the clock
// that goes on while the machine is suspended.
//
// There are three directories behind the same interface:
//
//	OpenDir   the real one: locked against a second process, direct I/O where
//	          the file system takes it, page cache and fdatasync elsewhere
//	View      a real one that can only be read, for tools; takes no lock
//	simdisk   in memory, for tests: loses power, fails the k-th call, rots
//
// Nothing here retries. After a failed write or sync the content of the file
// is unknown, and only the caller knows that its process has to end.
package disk
