package client

import (
	"testing"
	"testing/synctest"
)

// TestPanicWhileWaiting proves that what a caller asked for whose own function panics
// while it waits is not granted to nobody, nor what it had by then.
func TestPanicWhileWaiting(t *testing.T) {
	boom := func(WhyInfo) { panic("boom") }
	for name, wait := range map[string]func(t *testing.T, c *Client){
		"OnWait": func(t *testing.T, c *Client) {
			_, _ = c.LockWith(t.Context(), "a", LockOptions{OnWait: boom})
		},
		"WatchAndLock": func(t *testing.T, c *Client) {
			_, _ = c.WatchAndLock(t.Context(), "a", LockOptions{}, func(WatchEvent) { panic("boom") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNodes(t, 4)
				c := n.client(t, Options{})
				h := lock(t, c, "a")
				func() {
					defer func() {
						if recover() == nil {
							t.Error("no panic came through")
						}
					}()
					wait(t, c)
				}()
				unlock(t, h)
				n.until(t, "all is free", func() bool {
					holds, waiters, _ := n.left()
					return holds+waiters == 0
				})
			})
		})
	}
}
