package fencetest

import (
	"context"
	"sync"
)

// run starts the writers and a reader and returns when all have ended: each writer
// after so many writes, the reader after them.
func (x *race) run(ctx context.Context) {
	var writing, reading sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for n := range writes {
				x.write(ctx, (i+n)%4)
			}
		})
	}
	done := make(chan struct{})
	reading.Go(func() { x.watch(ctx, done) })
	writing.Wait()
	close(done)
	reading.Wait()
}
