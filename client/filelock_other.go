//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package client

import "io"

// lockFile does nothing here: who starts two clients with one file has the second
// take the first one's sessions over.
func lockFile(string) (io.Closer, error) { return io.NopCloser(nil), nil }
