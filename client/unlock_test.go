package client

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestUnlockWhileItIsLost unlocks holds while their client is closed: for the race
// detector, for both look at them.
func TestUnlockWhileItIsLost(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			n := newNodes(t, 1)
			c := n.client(t, Options{Lease: 2 * time.Second})
			var all []*Held
			for i := range 8 {
				all = append(all, lock(t, c, string(rune('a'+i))))
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for _, h := range all {
					_ = h.Unlock(t.Context()) // or it is lost
				}
			}()
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
}
