package faulttest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/history"
	"lockd/lockd/faulttest/witness"
	"lockd/netio/wire"
)

// What the names of a round are.
const (
	modelMutex = iota
	modelReadWrite
	modelSemaphore
	modelReentrant
	modelRegister
	modelCount
)

// semaphoreCapacity is that of all semaphores.
const semaphoreCapacity = 3

func models() []history.Model {
	return []history.Model{history.Mutex(), history.ReadWrite(),
		history.Semaphore(semaphoreCapacity), history.Reentrant(), history.Register()}
}

// Names of a round, and what a worker does in it. They make partitions of a few
// hundred operations.
const (
	mutexNames     = 18
	otherNames     = 6 // of each other model
	turnsPerRound  = 8
	mostOperations = 10 // of one turn
)

// round is the use of some names by all workers. Logs and notes belong to their
// workers until all are through, and then to the judge.
type round struct {
	study     *study
	number    int
	through   int
	logs      []*history.Log
	notes     [][]note
	unheard   [][]history.Operation // grants that nobody may have been told of
	registers []guarded
}

// note is one hold that was granted.
type note struct {
	held  *client.Held
	name  string
	token uint64
	// ends is the first moment at which a detached hold may end; for others it is
	// zero, and what the tap knows of the session says.
	ends    int64
	session witness.SessionKey
	tap     *witness.Tap
	// release is where its release is in the log, or -1.
	release int
}

func newRound(s *study, number int) *round {
	r := &round{study: s, number: number, registers: make([]guarded, mutexNames)}
	for range s.opts.Workers {
		r.logs = append(r.logs, history.NewLog(s.clock, turnsPerRound*mostOperations))
	}
	r.notes = make([][]note, s.opts.Workers)
	r.unheard = make([][]history.Operation, s.opts.Workers)
	return r
}

// nameOf returns a name of the round: the i-th of a model.
func (r *round) nameOf(model, i int) string {
	return fmt.Sprintf("%c/%d/%d", "mrso"[model], r.number, i)
}

// modelOf says what an operation is of.
func modelOf(o *history.Operation) int {
	switch {
	case o.Kind == history.Read || o.Kind == history.Write:
		return modelRegister
	default:
		return strings.IndexByte("mrso", o.Name[0])
	}
}

// operations returns the history of the names of a model. Requires: every worker
// is through.
func (r *round) operations(model int) []history.Operation {
	var all []history.Operation
	if model == modelMutex {
		r.settle()
	}
	for i, l := range r.logs {
		for _, o := range slices.Concat(l.Operations(), r.unheard[i]) {
			if modelOf(&o) == model {
				all = append(all, o)
			}
		}
		for j := range r.notes[i] {
			if o := r.notes[i][j].expiry(r.study.clock()); o.Name != "" && modelOf(&o) == model {
				all = append(all, o)
			}
		}
	}
	return all
}

// settle takes back what a client cannot know: the answer to a release that was
// sent twice may mean that the hold had run out in between.
func (r *round) settle() {
	for i, l := range r.logs {
		for j := range r.notes[i] {
			n := &r.notes[i][j]
			if n.release < 0 {
				continue
			}
			if o := &l.Operations()[n.release]; n.ends != 0 && n.ends < o.Ended {
				o.Outcome, o.Ended = history.Uncertain, history.Open
			}
		}
	}
}

// expiry returns the end that the hold may have come to unasked by now, or one
// without a name.
func (n *note) expiry(now int64) history.Operation {
	ends := n.ends
	if ends == 0 {
		s, ok := n.tap.Session(n.session)
		if !ok {
			s.Closed = 0
		}
		ends = s.End(studyDrift)
	}
	if ends > now {
		return history.Operation{}
	}
	return history.Operation{Kind: history.Expire, Name: n.name, Token: n.token, Began: ends,
		Ended: history.Open}
}

// groupOf returns the group of a name in the clusters under test.
func groupOf(name string) uint16 { return wire.GroupOf("", name, groups) }

// guarded is what a mutex guards: a number that refuses old tokens.
type guarded struct {
	mu struct {
		sync.Mutex
		token uint64
		value int64
	}
}

// read returns the value, unless the token is old.
func (g *guarded) read(token uint64) (int64, history.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if token < g.mu.token {
		return 0, history.Refused
	}
	g.mu.token = token
	return g.mu.value, history.Granted
}

// write replaces the value, unless the token is old. It does not look at what it
// replaces: the tokens alone must do.
func (g *guarded) write(token uint64, value int64) history.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	if token < g.mu.token {
		return history.Refused
	}
	g.mu.token, g.mu.value = token, value
	return history.Granted
}

// shortly is how long a detached hold lives, and at most how long a worker waits
// that does not wait for ever.
const shortly = 400 * time.Millisecond
