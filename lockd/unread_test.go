package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
)

// TestHoldThatIsNotPrinted proves that a hold which cannot be printed is given back, and
// that its token is said where that fails.
func TestHoldThatIsNotPrinted(t *testing.T) {
	cluster := locktest.New(t, locktest.Options{})
	c := cluster.Client(t, client.Options{})
	l := &locker{out: "shell", ttl: time.Hour, cluster: clusterFlags{timeout: 300 * time.Millisecond}}
	for _, reachable := range []string{"yes", "no"} {
		h, err := c.TryDetached(t.Context(), "a", l.ttl)
		if err != nil {
			t.Fatal(err)
		}
		if reachable == "no" {
			cluster.Unplug(c)
		}
		var problems bytes.Buffer
		err = l.print(&shell{out: fullDevice{}, err: &problems}, "a", h)
		if err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("reachable %s: got %v, want why it was not printed", reachable, err)
		}
		want := fmt.Sprintf("--token %d", h.Token())
		if says := strings.Contains(problems.String(), want); says != (reachable == "no") {
			t.Errorf("reachable %s: got %q, want %q only if it may stay taken", reachable, &problems,
				want)
		}
	}
}
