package measure

import "sync"

// startWriter runs one writer of the disk in a goroutine. syncLatency starts it
// and waits for it; syncSpan ends it.
func startWriter(group *sync.WaitGroup, write func()) {
	group.Go(write)
}
