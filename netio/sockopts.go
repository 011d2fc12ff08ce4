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
