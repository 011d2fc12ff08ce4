package netio

import (
	"net"
	"os"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, which package syscall does
// not name.
const tcpUserTimeout = 18

// tcpNotSentLowat is TCP_NOTSENT_LOWAT of linux/tcp.h.
const tcpNotSentLowat = 25

// setUnsentLimit has the kernel refuse bytes for a conn while more than limit wait in
// it that the other side's window has no room for. Of its own accord it keeps some
// megabytes for one who reads nothing. What is on its way is not bounded by it, so
// who reads is served as fast as the path is.
func setUnsentLimit(fd, limit int) error {
	return os.NewSyscallError("setsockopt TCP_NOTSENT_LOWAT",
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpNotSentLowat, limit))
}

// setLinkOptions makes the kernel notice a dead peer within timeout, whether
// bytes are on their way, by TCP_USER_TIMEOUT, or not, by keepalive probes.
func setLinkOptions(conn *net.TCPConn, timeout time.Duration) error {
	if err := conn.SetNoDelay(true); err != nil {
		return err
	}
	probe := max(timeout/4, time.Second)
	if err := conn.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: true, Idle: probe, Interval: probe, Count: 3,
	}); err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		optErr = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout,
			int(timeout.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", optErr)
}
