package history

import "fmt"

// Log records the operations of one caller after the other. It belongs to one
// goroutine; its memory is allocated once.
type Log struct {
	clock func() int64
	all   []Operation
}

// NewLog returns a Log that takes limit operations. Clock is monotonic, and the
// same for all logs that are judged together.
func NewLog(clock func() int64, limit int) *Log {
	return &Log{clock: clock, all: make([]Operation, 0, limit)}
}

// Room returns how many operations the Log takes still.
func (l *Log) Room() int { return cap(l.all) - len(l.all) }

// Begin notes that o begins now and has no answer yet. The result is valid until
// Reset. Requires: there is room.
func (l *Log) Begin(o Operation) *Operation {
	if l.Room() == 0 {
		panic(fmt.Sprintf("history: log is full: have %d operations, want room", len(l.all)))
	}
	o.Began, o.Ended, o.Outcome = l.clock(), Open, Uncertain
	l.all = append(l.all, o)
	return &l.all[len(l.all)-1]
}

// End notes that o, which Begin returned, is answered now.
func (l *Log) End(o *Operation, outcome Outcome) {
	o.Outcome, o.Ended = outcome, l.clock()
}

// Operations returns what was recorded, borrowed until Reset.
func (l *Log) Operations() []Operation { return l.all[:len(l.all):len(l.all)] }

// Reset forgets everything.
func (l *Log) Reset() { l.all = l.all[:0] }
