// Package simdisk is a disk in memory that behaves as badly as a real one may.
// It is pure: no clock, no goroutine, no randomness of its own. Whatever it has
// to choose it asks a Draw for, so that a seed repeats a run.
//
// A Disk outlives power cuts and processes. Mount gives a process its
// disk.Dir; PowerCut and Unmount end that process, and every handle it had
// gives ErrCut from then on.
//
// What a power cut does:
//
//   - each sector of 512 bytes that was written and not synced survives, keeps
//     its old content, or is garbage, independently of the others;
//   - each change of a name that was not synced happened or did not; one that
//     depends on another that did not happen did not happen either;
//   - what was synced stays, unless the disk had begun to lie about that.
//
// Every call of a Dir or File is one operation, numbered from 1. A Fault can be
// planned for a number: the call fails, or the power goes while it runs. A
// failed sync settles the fate of the unsynced sectors at once, as a read that
// bypasses the page cache would see it, and a later sync does not bring them
// back.
package simdisk
