package target

import (
	"errors"
	"runtime"
)

// start starts both loops of a mux; close stops them, and so does an error of
// the connection.
func (m *mux) start() {
	m.done.Go(m.writeLoop)
	m.done.Go(m.readLoop)
}

// writeLoop wakes when a request waits. One round writes all that wait.
func (m *mux) writeLoop() {
	var buffer []byte
	for range m.wake {
		waiting, err := m.pending()
		if err != nil {
			return
		}
		if waiting < muxYieldBytes {
			runtime.Gosched() // callers that are ready get into this batch
		}
		buffer = m.swapOut(buffer)
		if _, err := m.conn.Write(buffer); err != nil {
			// The reader sees the same end and answers everyone.
			_ = m.conn.Close()
			return
		}
	}
}

// readLoop wakes when bytes come. One round answers all whole replies.
func (m *mux) readLoop() {
	buffer := make([]byte, muxReadBytes)
	var waiting []chan reply
	held, next := 0, 0
	for {
		n, err := m.conn.Read(buffer[held:])
		if err != nil {
			m.fail(err, waiting[next:])
			return
		}
		held += n
		used := 0
		for {
			size, r, err := m.parse(buffer[used:held])
			if err != nil {
				m.fail(err, waiting[next:])
				_ = m.conn.Close()
				return
			}
			if size == 0 {
				break
			}
			used += size
			if next == len(waiting) {
				waiting, next = m.swapWaiting(waiting), 0
			}
			if next == len(waiting) {
				m.fail(errors.New("target: an answer nobody asked for"), nil)
				_ = m.conn.Close()
				return
			}
			waiting[next] <- r
			next++
		}
		held = copy(buffer, buffer[used:held])
	}
}

// start starts the loop of one writer; disk.Close stops it.
func (d *disk) start(w *diskWriter) { d.running.Go(w.run) }

// run wakes when records are asked for. One round writes and syncs all that
// wait.
func (w *diskWriter) run() {
	var waiting []chan<- error
	var buffer []byte
	for {
		var ok bool
		waiting, ok = w.take(waiting)
		err := errDiskClosed
		if ok {
			buffer, err = w.write(buffer, len(waiting))
		}
		for _, done := range waiting {
			done <- err
		}
		if !ok {
			return
		}
	}
}

// discard drops what comes from a channel of a client that would stop if nobody
// listened. The end of the client closes the channel and so ends the loop.
func discard[T any](from <-chan T) {
	go func() {
		for range from {
		}
	}()
}
