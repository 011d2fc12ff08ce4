package faulttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/history"
	"lockd/lockd/faulttest/witness"
)

// studyLease is short, so that leases run out while a client is paused.
const studyLease = 2 * time.Second

// studyDrift is the drift that nodes may have, by the defaults.
const studyDrift = 0.01

// searchLimit bounds the search for one name. It is long, so that a slow machine
// decides nothing.
const searchLimit = 60 * time.Second

// maxAhead is how many rounds the fastest worker may be ahead of the slowest.
const maxAhead = 4

type studyOptions struct {
	Workers, Clients int
	Seed             uint64
}

// study is a cluster with workers who lock and unlock names in rounds, and with
// all they are told. The names of a round are new, so that its history is small
// and whole; when every worker is through, it is searched. What crosses the
// conns is kept for the witness to the end.
type study struct {
	cluster *Cluster
	opts    studyOptions
	clock   func() int64
	book    *witness.Book
	lines   []*line
	ctx     context.Context // ends the workers at once, in a test that fails
	running sync.WaitGroup
	checked chan struct{} // closed when the last round has been judged
	judge   chan *round   // capacity maxAhead
	enough  atomic.Bool   // no new rounds; finish writes it

	mu struct {
		sync.Mutex
		changed *sync.Cond
		rounds  map[int]*round
		oldest  int // not every worker is through with it
		err     error
	}
	reports [modelCount]history.Report // of the judge
	// late counts writes by holders who have given back or lost, stale those that
	// were refused; workers write them.
	late, stale atomic.Int64
}

// line is a client and its tap. Both change when the client is lost.
type line struct {
	mu struct {
		sync.Mutex
		c   *client.Client
		tap *witness.Tap
	}
}

func (l *line) get() (*client.Client, *witness.Tap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.c, l.mu.tap
}

//lint:ignore U1000 tests with the fault tag use it
func (l *line) stop() {
	_, tap := l.get()
	tap.Stop()
}

//lint:ignore U1000 tests with the fault tag use it
func (l *line) resume() {
	_, tap := l.get()
	tap.Resume()
}

func newStudy(t *testing.T, o studyOptions) *study {
	t.Helper()
	start := time.Now()
	s := &study{cluster: newCluster(t, 3), opts: o, checked: make(chan struct{}),
		judge: make(chan *round, maxAhead), ctx: t.Context(),
		clock: func() int64 { return int64(time.Since(start)) + 1 }}
	s.mu.rounds = make(map[int]*round)
	s.mu.changed = sync.NewCond(&s.mu)
	s.book = witness.NewBook(s.clock)
	for range o.Clients {
		l := &line{}
		s.connect(t, l)
		s.lines = append(s.lines, l)
	}
	t.Cleanup(func() {
		s.fail(errors.New("the test is over"))
		s.running.Wait()
	})
	for i := range o.Workers {
		s.running.Add(1)
		go s.work(i)
	}
	go s.judgeRounds()
	return s
}

// connect gives a line a new client.
func (s *study) connect(t *testing.T, l *line) {
	t.Helper()
	tap := s.book.Tap()
	c, err := s.cluster.Dial(within(t, 30*time.Second), client.Options{Name: "history",
		Lease: studyLease, Dial: tap.Dial})
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.c, l.mu.tap = c, tap
}

// replace loses the client of a line: from one moment on nothing comes from it
// any more, not even that it closes its sessions.
//
//lint:ignore U1000 tests with the fault tag use it
func (s *study) replace(t *testing.T, l *line) error {
	t.Helper()
	old, tap := l.get()
	tap.Stop()
	s.connect(t, l)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := old.Close(ctx); err != nil && !errors.Is(err, client.ErrUnavailable) {
		return err
	}
	return nil
}

// fail notes what went wrong first.
func (s *study) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.err == nil {
		s.mu.err = err
	}
	s.mu.changed.Broadcast()
}

func (s *study) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.err
}

// enter waits until a worker may begin a round, and returns it; nil if there is
// to be none.
func (s *study) enter(number int) *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number >= s.mu.oldest+maxAhead && s.mu.err == nil && !s.enough.Load() {
		s.mu.changed.Wait()
	}
	r := s.mu.rounds[number]
	if s.mu.err != nil || r == nil && s.enough.Load() {
		return nil
	}
	if r == nil {
		r = newRound(s, number)
		s.mu.rounds[number] = r
	}
	return r
}

// leave notes that a worker is through with a round. The last one of all hands
// it to the judge.
func (s *study) leave(r *round) {
	s.mu.Lock()
	r.through++
	last := r.through == s.opts.Workers
	s.mu.Unlock()
	if !last {
		return
	}
	s.judge <- r
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.rounds, r.number)
	s.mu.oldest++
	s.mu.changed.Broadcast()
}

// judgeRounds searches the rounds one after the other.
func (s *study) judgeRounds() {
	defer close(s.checked)
	for r := range s.judge {
		for m, model := range models() {
			report := history.Check(model, r.operations(m), searchLimit)
			if err := report.Err(); err != nil {
				s.fail(fmt.Errorf("round %d: %s: %w", r.number, model, err))
			}
			s.reports[m].Add(&report)
		}
	}
}

// finish lets the rounds end, and judges the whole.
func (s *study) finish(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	s.enough.Store(true)
	s.mu.changed.Broadcast()
	s.mu.Unlock()
	s.running.Wait()
	close(s.judge)
	<-s.checked
	for _, l := range s.lines {
		c, _ := l.get()
		if err := c.Close(within(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
	}
	for m, model := range models() {
		t.Logf("%s: %s", model, &s.reports[m])
	}
	t.Logf("%d writes with an old token, %d of them refused", s.late.Load(), s.stale.Load())
	if err := s.failed(); err != nil {
		t.Error(err)
	}
	report := witness.Check(s.book.Close(), witness.Options{Drift: studyDrift})
	t.Logf("witness: %s", &report)
	if err := report.Err(); err != nil {
		t.Error(err)
		for _, text := range report.Violations[1:] {
			t.Log(text)
		}
	}
}
