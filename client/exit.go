package client

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// ReleaseOnExit closes the client when the process is told to end by one of the
// signals, so that others have its locks at once instead of after the lease, and
// then lets the signal have its way: a process that does nothing else about it
// ends as if nobody had looked. Without signals these are SIGINT and SIGTERM. One
// that the process ignores when this is called, as nohup has it do, does not end it and
// is left so. Stop undoes it; Close does too. Whoever handles the signals himself calls
// Close there instead.
func (c *Client) ReleaseOnExit(signals ...os.Signal) (stop func()) {
	if len(signals) == 0 {
		signals = []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	}
	told, over := make(chan os.Signal, 1), make(chan struct{})
	for _, s := range signals {
		if !signal.Ignored(s) {
			signal.Notify(told, s)
		}
	}
	c.awaitExit(told, over)
	return sync.OnceFunc(func() {
		signal.Stop(told) // none comes after
		close(over)
	})
}
