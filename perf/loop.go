package main

import (
	"context"
	"net"
	"time"
)

// progressBeat is how often the progress line is drawn.
const progressBeat = 200 * time.Millisecond

// serveConns accepts connections until ctx ends, each with a goroutine of its
// own that its peer's hanging up ends. The process ends after it.
func serveConns(ctx context.Context, listener net.Listener, handle func(net.Conn)) {
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	for {
		conn, err := listener.Accept()
		if err != nil {
			return // closed, because ctx ended
		}
		go func() {
			defer func() { _ = conn.Close() }()
			handle(conn)
		}()
	}
}

// draw calls show at once and at every beat until stop is called, which waits
// for the last call.
func draw(show func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(progressBeat)
		defer ticker.Stop()
		for {
			show()
			select {
			case <-ticker.C:
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// background runs work in a goroutine; wait waits for it and returns its error.
func background(work func() error) (wait func() error) {
	result := make(chan error, 1)
	go func() { result <- work() }()
	return func() error { return <-result }
}
