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
