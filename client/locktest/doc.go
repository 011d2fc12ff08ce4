// Package locktest gives a test a cluster of lockd in its own process, with switches
// for what goes wrong in earnest: leases that run out, nodes that die, leaders that
// change, networks that are cut.
//
//	func TestBilling(t *testing.T) {
//		cluster := locktest.New(t, locktest.Options{})
//		c := cluster.Client(t, client.Options{Name: "billing"})
//		h, err := c.Lock(t.Context(), "orders/42")
//		…
//		cluster.Expire("orders/42") // h.Lost is closed, and others get the lock
//	}
//
// The nodes are those of production: the same protocol, the same machine, the same
// bytes on real conns of loopback. What they stand on is not: their logs and
// identities are in memory, synced at once and kept over Kill and Start, and links
// between nodes are queues. So a cluster is ready in some milliseconds, needs no
// directory, and leaves nothing behind: it ends with its test, by Cleanup, after
// all clients that were made with Cluster.Client.
//
// Whatever a switch promises has come true when it returns; no test needs to sleep. A
// switch that cannot keep its promise fails the test that the cluster was made for. The
// switches may be used by one goroutine at a time, Addrs and Client by any number.
//
// A cluster keeps in memory all that was ever written, until its test ends.
package locktest
