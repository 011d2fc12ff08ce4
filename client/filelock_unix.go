//go:build linux || darwin || freebsd || netbsd || openbsd

package client

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFile makes sure that no other process uses what the file stands for, until
// it is closed or this process ends, however it ends.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errFileInUse
		}
		return nil, err
	}
	return f, nil
}
