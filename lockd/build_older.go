//go:build older

package main

import "lockd/lockfsm"

// newestFormat is the newest format of batches that this build knows. Tests of
// upgrades build such a binary: it stands for the version before.
const newestFormat = lockfsm.FormatFirst
