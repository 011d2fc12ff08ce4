package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"lockd/lockd/node"
	"lockd/paxos"
)

// start runs the keeper's loop. The assembly starts it, a queued job or a slow
// beat wakes it, a round is one job, and end stops it after the job it is in.
func (k *keeper) start() { go k.run() }

func (k *keeper) run() {
	defer close(k.done)
	beat := time.NewTicker(transferIdle)
	defer beat.Stop()
	for {
		select {
		case job := <-k.jobs:
			k.step(job)
		case now := <-beat.C:
			// What cannot be closed now is closed with the store.
			_ = k.sweep(now.Add(-transferIdle))
		case <-k.stop:
			return
		}
	}
}

// end stops the loop and closes what is open.
func (k *keeper) end() error {
	close(k.stop)
	<-k.done
	return k.sweep(time.Now().Add(time.Hour))
}

// start runs the loop that changes links. The assembly starts it once the links
// are open, a Meet or Part wakes it, a round is one of them, and end stops it.
func (p *peerPort) start() { go p.run() }

func (p *peerPort) run() {
	defer close(p.done)
	for {
		select {
		case c := <-p.changes:
			p.change(c)
		case <-p.stop:
			return
		}
	}
}

// end stops the loop after the change it is in.
func (p *peerPort) end() error {
	close(p.stop)
	<-p.done
	return nil
}

// start runs the loop that writes events to the log. The assembly starts it,
// an event wakes it, a round is one event, and end stops it once all that wait
// are written.
func (l *eventLog) start() { go l.run() }

func (l *eventLog) run() {
	defer close(l.done)
	t := leaderTable{
		leader: make(map[paxos.GroupID]paxos.NodeID),
		own:    make(map[paxos.GroupID]struct{}),
	}
	settled := time.NewTimer(settleDelay)
	settled.Stop()
	defer settled.Stop()
	for {
		select {
		case e := <-l.events:
			l.write(e)
			if t.note(e) {
				settled.Reset(settleDelay)
			}
			continue
		default:
		}
		select {
		case e := <-l.events:
			l.write(e)
			if t.note(e) {
				settled.Reset(settleDelay)
			}
		case <-settled.C:
			l.writeLeaders(&t)
		case <-l.stop:
			return
		}
	}
}

// serveAdmin runs the admin listener until the listener is closed. What ends it
// otherwise goes to failed, which must have room for one error.
func serveAdmin(ln net.Listener, h http.Handler, failed chan<- error) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout: time.Minute}
	go func() {
		if err := server.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) {
			failed <- err
		}
	}()
}

// awaitChild waits for a started command in the background. The result, nil or
// an exit error, arrives on the channel, which is then closed.
func awaitChild(cmd *exec.Cmd) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		close(ended)
	}()
	return ended
}

// awaitEngine tells when an engine ended, and why, on failed, which must have
// room for one error.
func awaitEngine(l *node.Loop, failed chan<- error) {
	go func() {
		<-l.Done()
		failed <- l.Err()
	}()
}

// inBackground runs one call whose result comes by a channel it sends to.
func inBackground(call func()) { go call() }

// start has the text of a notice, if there is one, sent to found in the background,
// which must have room for it, unless stop is called before.
func (n *notice) start(found chan<- string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(n.after, func() {
		ctx, cancel := context.WithTimeout(ctx, noticeAnswer)
		defer cancel()
		if text := n.ask(ctx); text != "" {
			found <- text
		}
	})
	return func() {
		timer.Stop()
		cancel()
	}
}

// sideBySide calls fn for 0 to n-1 on a few goroutines of its own and returns
// when all calls have.
func sideBySide(n, goroutines int, fn func(i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(n, goroutines) {
		running.Add(1)
		go func() {
			defer running.Done()
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				fn(int(i))
			}
		}()
	}
	running.Wait()
}

// start runs the keeper of the heap: a look every second until stop is closed.
func (k *heapKeeper) start(stop <-chan struct{}) {
	go func() {
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
				k.step()
			case <-stop:
				return
			}
		}
	}()
}

// start runs the loop of a node's own faults. The assembly starts it if they are
// allowed; a fault that begins or is healed, its deadline and frames that are late
// wake it; a round is one of these; end stops it and ends the fault.
func (f *faults) start() { go f.run() }

func (f *faults) run() {
	defer close(f.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(f.step(time.Now()))
		select {
		case <-f.wake:
		case <-timer.C:
		case <-f.stop:
			f.Heal()
			f.step(time.Now())
			return
		}
	}
}

// afterLastWord has last called when the last word has had its time, written or not. The
// end of the process starts it and stops it, if nothing keeps that from coming before.
func afterLastWord(last func()) { time.AfterFunc(lastWordTime, last) }
