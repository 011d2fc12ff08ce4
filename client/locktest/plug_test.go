package locktest

import (
	"testing"
	"time"

	"lockd/client"
)

// TestUnpluggedClientEndsSoon ends a test whose client is cut off and has a session:
// there is nobody to wait for.
func TestUnpluggedClientEndsSoon(t *testing.T) {
	c := New(t, Options{Nodes: 1, Groups: 1})
	var ended time.Time
	t.Run("unplugged", func(t *testing.T) {
		k := c.Client(t, client.Options{Lease: 12 * time.Second,
			RequestTimeout: 12 * time.Second})
		if _, err := k.Lock(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		c.Unplug(k)
		ended = time.Now()
	})
	if took := time.Since(ended); took > 5*time.Second {
		t.Errorf("got an end after %s", took)
	}
}
