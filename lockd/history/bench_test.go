package history

import (
	"fmt"
	"testing"

	"lockd/lockd/node"
	"lockd/lockfsm"
)

// nowhere takes what is written and keeps nothing of it: no part of the cost is a disk's.
type nowhere struct{ Files }

type nothing struct{ File }

func (n nowhere) Open(number uint64) (File, error) {
	f, err := n.Files.Open(number)
	return nothing{f}, err
}

func (nothing) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// BenchmarkNote says what a hold costs, and how many bytes it takes: ten in a slot, of
// 10,000 names and 100 clients.
func BenchmarkNote(b *testing.B) {
	wall := int64(epoch)
	s, err := Open(nowhere{Memory()}, Options{Bytes: 64 << 20, Wall: func() int64 { return wall }})
	if err != nil {
		b.Fatal(err)
	}
	names, clients := make([][]byte, 10_000), make([][]byte, 100)
	for i := range names {
		names[i] = []byte(fmt.Sprintf("orders/%d", 100_000+i))
	}
	for i := range clients {
		clients[i] = []byte(fmt.Sprintf("billing-worker-%d (pid %d on host-%d)", i, 4000+i, i%7))
	}
	x := node.HistoryNote{Group: 1, Ended: make([]lockfsm.Ended, 10)}
	token, k := lockfsm.Token(1), 0
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if k%len(x.Ended) == 0 {
			k = 0
			x.After, x.Before = x.To, x.LogTime
			x.To, x.LogTime, x.Now = x.To+1, lockfsm.Time(n/100), node.Nanos(n/100)*node.Millisecond
			wall = epoch + int64(n/100)
		}
		token++
		x.Ended[k] = lockfsm.Ended{How: lockfsm.HoldReleased, Mode: lockfsm.ModeEX,
			Session: lockfsm.SessionID(1 + n%100), Token: token, Since: x.LogTime - min(x.LogTime, 2),
			Name: names[(n*7919)%len(names)], Client: clients[n%100]}
		if k++; k == len(x.Ended) {
			s.Note(&x)
		}
		if n++; n%1000 == 0 {
			if err := s.Write(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Sync(); err != nil {
		b.Fatal(err)
	}
	if n > 1000 && n < 1_000_000 {
		b.ReportMetric(float64(s.Stats().Bytes)/float64(n), "B/hold")
	}
}

// BenchmarkPair says what the machine of a replica and the history take for a lock and its
// unlock, with and without the history: sixteen callers in a slot.
func BenchmarkPair(b *testing.B) {
	for _, how := range []string{"off", "on"} {
		b.Run("history="+how, func(b *testing.B) { benchPairs(b, how == "on") })
	}
}

func benchPairs(b *testing.B, on bool) {
	wall := int64(epoch)
	s, err := Open(nowhere{Memory()}, Options{Bytes: 64 << 20, Wall: func() int64 { return wall }})
	if err != nil {
		b.Fatal(err)
	}
	m, err := lockfsm.New(lockfsm.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	if on {
		m.NoteEnds(lockfsm.NotingOn)
	}
	var batch lockfsm.BatchBuilder
	var out lockfsm.Outcome
	note := node.HistoryNote{Group: 1}
	apply := func() {
		if err := m.Apply(m.Applied()+1, batch.Bytes(), &out); err != nil {
			b.Fatal(err)
		}
		batch.Reset()
		if on && len(out.Ended) > 0 {
			note.After, note.To, note.Ended = note.To, m.Applied(), out.Ended
			note.Now = node.Nanos(note.To) * node.Millisecond
			s.Note(&note)
		}
	}
	batch.Append(&lockfsm.Command{Op: lockfsm.OpOpenSession, Lease: 10_000, Nonce: lockfsm.Nonce{1}})
	apply()
	session := out.Results[0].Session
	names := make([][]byte, 10_000)
	for i := range names {
		names[i] = fmt.Appendf(nil, "orders/%d", 100_000+i)
	}
	const callers = 16
	var tokens [callers]lockfsm.Token
	b.ReportAllocs()
	request, k := lockfsm.RequestID(0), 0
	for i := 0; b.Loop(); i++ {
		if i%callers != 0 {
			continue // done with the first of them
		}
		for c := range callers {
			request++
			batch.Append(&lockfsm.Command{Op: lockfsm.OpAcquire, Session: session, Request: request,
				Mode: lockfsm.ModeEX, Name: names[(k+c)%len(names)]})
		}
		apply()
		for c := range callers {
			tokens[c] = out.Results[c].Token
		}
		for c := range callers {
			request++
			batch.Append(&lockfsm.Command{Op: lockfsm.OpRelease, Session: session, Request: request,
				Token: tokens[c], Name: names[(k+c)%len(names)]})
		}
		apply()
		if k += callers; on && k%1008 == 0 {
			if err := s.Write(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if got := s.Stats().Holds; on && got+callers < uint64(request)/2 {
		b.Errorf("holds: got %d of %d", got, request/2)
	}
}
