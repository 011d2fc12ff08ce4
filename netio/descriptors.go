package netio

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// ErrDescriptors means that the process may not open as many files as the
// options ask for. Raise the limit or lower MaxConns.
var ErrDescriptors = errors.New("netio: too few file descriptors")

// descriptorLimit returns how many files this process may have open.
func descriptorLimit() (uint64, error) {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 0, fmt.Errorf("netio: read the limit of open files: %w", err)
	}
	return lim.Cur, nil
}

// reserveAddr finds out whether addr is free and which port it means.
//
// Every loop listens on a socket of its own with SO_REUSEPORT, and the kernel
// lets two processes of one user do so on one port: a second node started by
// mistake would take half of the conns instead of failing. A plain listen,
// closed again, fails as it should.
func reserveAddr(addr string) (*net.TCPAddr, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("netio: listen on %s: %w", addr, err)
	}
	bound := ln.Addr().(*net.TCPAddr)
	if err := ln.Close(); err != nil {
		return nil, fmt.Errorf("netio: listen on %s: %w", addr, err)
	}
	return bound, nil
}
