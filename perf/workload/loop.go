package workload

import "sync"

// crew is the workers of one load, each a goroutine. The load that starts them
// cancels their context and waits.
type crew struct{ group sync.WaitGroup }

func (c *crew) start(work func()) { c.group.Go(work) }

func (c *crew) wait() { c.group.Wait() }
