package history

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// The histories below are of one name each; an operation is written as who, from
// when to when, and what.

func at(client int, began, ended int64, o Operation) Operation {
	o.Client, o.Began, o.Ended, o.Name = client, began, ended, "n"
	if o.Owner == 0 && (o.Kind == Acquire || o.Kind == Release) {
		o.Owner = uint64(client)
	}
	return o
}

func lock(client int, began, ended int64, token uint64) Operation {
	return at(client, began, ended,
		Operation{Kind: Acquire, Waits: Queues, Token: token, Outcome: Granted})
}

func refused(client int, began, ended int64, token uint64) Operation {
	return at(client, began, ended, Operation{Kind: Acquire, Token: token, Outcome: Refused})
}

func lost(client int, began int64) Operation {
	return at(client, began, Open, Operation{Kind: Acquire, Waits: Queues})
}

func unlock(client int, began, ended int64, token uint64) Operation {
	o := Operation{Kind: Release, Token: token, Outcome: Granted}
	if ended == Open {
		o.Outcome = Uncertain
	}
	return at(client, began, ended, o)
}

func expire(began int64, token uint64) Operation {
	return at(0, began, Open, Operation{Kind: Expire, Token: token})
}

func look(client int, began, ended int64, tokens ...uint64) Operation {
	return at(client, began, ended, Operation{Kind: Look, Holders: tokens, Outcome: Granted})
}

func shared(o Operation) Operation {
	o.Mode = Shared
	return o
}

func try(o Operation) Operation {
	o.Waits = Tries
	return o
}

func counts(o Operation, n ...uint32) Operation {
	o.Counts = n
	return o
}

func of(o Operation, permits uint32) Operation {
	o.Permits = permits
	return o
}

// row is a history and whether it may happen.
type row struct {
	what string
	ok   bool
	all  []Operation
}

func run(t *testing.T, m Model, rows []row) {
	t.Helper()
	for _, row := range rows {
		t.Run(strings.ReplaceAll(row.what, " ", "_"), func(t *testing.T) {
			r := Check(m, row.all, 10*time.Second)
			if row.ok && r.Err() != nil {
				t.Errorf("got %v, want none", r.Err())
			}
			if !row.ok && !errors.Is(r.Err(), ErrViolation) {
				t.Errorf("got %v, want %v", r.Err(), ErrViolation)
			}
		})
	}
}

func TestMutex(t *testing.T) {
	stranger := unlock(1, 2, 3, 5)
	stranger.Owner = 9
	refusedUnlock := unlock(1, 2, 3, 5)
	refusedUnlock.Outcome = Refused
	run(t, Mutex(), []row{
		{"nothing", true, nil},
		{"in turn", true, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5), lock(2, 4, 5, 8)}},
		{"handed over while waiting", true, []Operation{lock(1, 0, 1, 5), lock(2, 0, 9, 8),
			unlock(1, 2, 3, 5), unlock(2, 9, 10, 8)}},
		{"answers cross", true, []Operation{lock(1, 0, 10, 5), unlock(1, 11, 12, 5),
			lock(2, 0, 13, 6)}},
		{"two holders", false, []Operation{lock(1, 0, 1, 5), lock(2, 2, 3, 8), unlock(1, 4, 5, 5)}},
		{"two holders at one time", false, []Operation{lock(1, 0, 3, 5), lock(2, 0, 3, 8),
			unlock(1, 4, 5, 5), unlock(2, 4, 5, 8)}},
		{"token again", false, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5), lock(2, 4, 5, 5)}},
		{"token goes back", false, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			lock(2, 4, 5, 4)}},
		{"unlock by a stranger", false, []Operation{lock(1, 0, 1, 5), stranger}},
		{"unlock of what nobody holds", false, []Operation{unlock(1, 0, 1, 5)}},
		{"unlock twice", false, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			unlock(1, 4, 5, 5)}},
		{"unlock refused to the holder", false, []Operation{lock(1, 0, 1, 5), refusedUnlock}},
		{"try refused", true, []Operation{lock(1, 0, 1, 5), refused(2, 2, 3, 5)}},
		{"try refused with nobody there", false, []Operation{lock(1, 0, 1, 5),
			unlock(1, 2, 3, 5), refused(2, 4, 5, 5)}},
		{"try refused because of an earlier hold", false, []Operation{lock(1, 0, 1, 5),
			unlock(1, 2, 3, 5), lock(1, 4, 5, 7), refused(2, 6, 7, 5)}},
		{"looks", true, []Operation{look(2, 0, 1), lock(1, 2, 3, 5), look(2, 4, 5, 5)}},
		{"look is late", false, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			look(2, 4, 5, 5)}},
		{"look misses the holder", false, []Operation{lock(1, 0, 1, 5), look(2, 2, 3)}},
	})
}

// TestHoldsThatEndUnasked: not before they may, and not without a reason.
func TestHoldsThatEndUnasked(t *testing.T) {
	after := at(1, 20, 21, Operation{Kind: Release, Token: 5, Outcome: Refused})
	run(t, Mutex(), []row{
		{"lease is over", true, []Operation{lock(1, 0, 1, 5), expire(10, 5), lock(2, 8, 12, 8)}},
		{"lease is not over", false, []Operation{lock(1, 0, 1, 5), expire(10, 5), lock(2, 8, 9, 8)}},
		{"lease is over and nobody comes", true, []Operation{lock(1, 0, 1, 5), expire(10, 5),
			refused(2, 20, 21, 5)}},
		{"held after its end", false, []Operation{lock(1, 0, 1, 5), expire(10, 5),
			lock(2, 12, 13, 8), unlock(1, 14, 15, 5)}},
		{"end of a hold that was given back", true, []Operation{lock(1, 0, 1, 5),
			unlock(1, 2, 3, 5), expire(3, 5), lock(2, 4, 5, 6), refused(3, 6, 7, 6)}},
		{"unlock refused after the lease", true, []Operation{lock(1, 0, 1, 5), expire(10, 5), after}},
		{"unlock without an answer", true, []Operation{lock(1, 0, 1, 5), unlock(1, 2, Open, 5),
			lock(2, 3, 4, 8)}},
		{"unlock without an answer, not yet sent", false, []Operation{lock(1, 0, 1, 5),
			lock(2, 3, 4, 8), unlock(1, 5, Open, 5)}},
	})
}

// TestUncertainAcquires: each may have been granted once, after it began, and
// given back at any moment.
func TestUncertainAcquires(t *testing.T) {
	run(t, Mutex(), []row{
		{"refused because of one", true, []Operation{lost(1, 0), refused(2, 2, 3, 7),
			lock(2, 4, 5, 9)}},
		{"refused before it began", false, []Operation{refused(2, 2, 3, 7), lost(1, 5)}},
		{"granted beside a holder", false, []Operation{lost(1, 0), lock(3, 0, 1, 5),
			refused(2, 2, 3, 7), unlock(3, 4, 5, 5)}},
		{"granted after a holder", true, []Operation{lost(1, 0), lock(3, 0, 1, 5),
			unlock(3, 2, 3, 5), refused(2, 4, 5, 7)}},
		{"one that never was", true, []Operation{lost(1, 0), lock(3, 1, 2, 5),
			refused(2, 3, 4, 5), look(2, 5, 6, 5)}},
		{"back after another grant", false, []Operation{lost(1, 0), refused(2, 2, 3, 7),
			lock(2, 4, 5, 9), refused(3, 6, 7, 7)}},
		{"two tokens of one", false, []Operation{lost(1, 0), refused(2, 2, 3, 7),
			refused(2, 4, 5, 8)}},
		{"two tokens of two", true, []Operation{lost(1, 0), lost(3, 0), refused(2, 2, 3, 7),
			refused(2, 4, 5, 8)}},
		{"token of another grant", false, []Operation{lost(1, 0), lock(3, 1, 2, 5),
			unlock(3, 3, 4, 5), refused(2, 5, 6, 5)}},
		{"two at once", false, []Operation{lost(1, 0), lost(3, 0), look(2, 2, 3, 7, 8)}},
		{"seen by a look", true, []Operation{lost(1, 0), look(2, 2, 3, 7), look(2, 4, 5)}},
		{"token goes back behind it", false, []Operation{lost(1, 0), refused(2, 2, 3, 7),
			lock(2, 4, 5, 6)}},
	})
}

func TestReadWrite(t *testing.T) {
	reader := func(c int, b, e int64, token uint64) Operation { return shared(lock(c, b, e, token)) }
	run(t, ReadWrite(), []row{
		{"readers together", true, []Operation{reader(1, 0, 1, 5), reader(2, 2, 3, 6),
			unlock(1, 4, 5, 5), unlock(2, 4, 5, 6), lock(3, 6, 7, 9)}},
		{"reader and writer", false, []Operation{reader(1, 0, 1, 5), lock(2, 2, 3, 6),
			unlock(1, 4, 5, 5)}},
		{"writer and reader", false, []Operation{lock(1, 0, 1, 5), reader(2, 2, 3, 6),
			unlock(1, 4, 5, 5)}},
		{"two writers", false, []Operation{lock(1, 0, 1, 5), lock(2, 2, 3, 6)}},
		{"readers share a token", false, []Operation{reader(1, 0, 1, 5), reader(2, 2, 3, 5)}},
		{"reader token goes back", false, []Operation{reader(1, 0, 1, 5), reader(2, 2, 3, 4)}},
		{"readers answered out of order", true, []Operation{reader(1, 0, 9, 6), reader(2, 0, 9, 5)}},
		{"writer refused by a reader", true, []Operation{reader(1, 0, 1, 5), refused(2, 2, 3, 5)}},
		{"reader refused by a reader", false, []Operation{reader(1, 0, 1, 5),
			shared(refused(2, 2, 3, 5))}},
		{"reader refused behind a writer who waits", true, []Operation{reader(1, 0, 1, 5),
			lock(3, 2, 9, 6), shared(refused(2, 3, 4, 5)), unlock(1, 5, 6, 5)}},
		{"writer waits until all readers are gone", true, []Operation{reader(1, 0, 1, 5),
			reader(2, 0, 1, 6), lock(3, 2, 9, 7), unlock(1, 3, 4, 5), unlock(2, 5, 6, 6)}},
		{"writer while one reader is left", false, []Operation{reader(1, 0, 1, 5),
			reader(2, 0, 1, 6), lock(3, 2, 5, 7), unlock(1, 3, 4, 5), unlock(2, 6, 7, 6)}},
		{"look at readers", true, []Operation{reader(1, 0, 1, 5), reader(2, 2, 3, 6),
			look(3, 4, 5, 5, 6)}},
		{"look misses a reader", false, []Operation{reader(1, 0, 1, 5), reader(2, 2, 3, 6),
			look(3, 4, 5, 6)}},
		{"uncertain readers in the way of a writer", true, []Operation{shared(lost(1, 0)),
			reader(2, 1, 2, 6), refused(3, 3, 4, 5), refused(3, 5, 6, 6)}},
		{"uncertain ones of both modes", true, []Operation{shared(lost(1, 0)), lost(4, 0),
			shared(refused(3, 1, 2, 5)), shared(lock(2, 3, 4, 6)), look(3, 5, 6, 5, 6)}},
		{"uncertain writer beside a reader", false, []Operation{try(lost(4, 0)),
			shared(lock(2, 3, 4, 6)), look(3, 5, 6, 5, 6)}},
		{"uncertain reader beside a writer", false, []Operation{lock(2, 0, 1, 5),
			shared(lost(1, 2)), refused(3, 3, 4, 7), unlock(2, 5, 6, 5)}},
	})
}

func TestReentrant(t *testing.T) {
	again := refused(1, 2, 3, 5) // of the owner itself
	run(t, Reentrant(), []row{
		{"twice", true, []Operation{lock(1, 0, 1, 5), lock(1, 2, 3, 5), unlock(1, 4, 5, 5),
			unlock(1, 6, 7, 5), lock(2, 8, 9, 6)}},
		{"given away before the last unlock", false, []Operation{lock(1, 0, 1, 5),
			lock(1, 2, 3, 5), unlock(1, 4, 5, 5), lock(2, 6, 7, 6)}},
		{"unlock once too often", false, []Operation{lock(1, 0, 1, 5), unlock(1, 2, 3, 5),
			unlock(1, 4, 5, 5)}},
		{"another owner", false, []Operation{lock(1, 0, 1, 5), lock(2, 2, 3, 5)}},
		{"again under a new token", false, []Operation{lock(1, 0, 1, 5), lock(1, 2, 3, 6)}},
		{"owner refused", false, []Operation{lock(1, 0, 1, 5), again}},
		{"other refused", true, []Operation{lock(1, 0, 1, 5), lock(1, 2, 3, 5),
			unlock(1, 4, 5, 5), refused(2, 6, 7, 5)}},
		{"counts", true, []Operation{lock(1, 0, 1, 5), counts(look(2, 2, 3, 5), 1),
			lock(1, 4, 5, 5), counts(look(2, 6, 7, 5), 2), unlock(1, 8, 9, 5),
			counts(look(2, 10, 11, 5), 1)}},
		{"count too small", false, []Operation{lock(1, 0, 1, 5), lock(1, 2, 3, 5),
			counts(look(2, 6, 7, 5), 1)}},
		{"count too large", false, []Operation{lock(1, 0, 1, 5), lock(1, 2, 3, 5),
			unlock(1, 4, 5, 5), counts(look(2, 6, 7, 5), 2)}},
		{"an uncertain one counts", true, []Operation{lock(1, 0, 1, 5), lost(1, 2),
			counts(look(2, 4, 5, 5), 2), unlock(1, 6, 7, 5), refused(2, 8, 9, 5),
			lock(2, 10, 11, 8)}},
		{"an uncertain one counts twice", false, []Operation{lock(1, 0, 1, 5), lost(1, 2),
			counts(look(2, 4, 5, 5), 3)}},
		{"an uncertain one does not count", true, []Operation{lock(1, 0, 1, 5), lost(1, 2),
			counts(look(2, 4, 5, 5), 1), unlock(1, 6, 7, 5), lock(2, 8, 9, 6)}},
		{"all ends with the lease", true, []Operation{lock(1, 0, 1, 5), lock(1, 2, 3, 5),
			expire(10, 5), lock(2, 11, 12, 6)}},
		{"ends before the lease", false, []Operation{lock(1, 0, 1, 5), lock(1, 2, 3, 5),
			unlock(1, 4, 5, 5), expire(10, 5), lock(2, 8, 9, 6)}},
	})
}

func TestSemaphore(t *testing.T) {
	run(t, Semaphore(3), []row{
		{"up to capacity", true, []Operation{lock(1, 0, 1, 5), of(lock(2, 2, 3, 6), 2),
			unlock(1, 4, 5, 5), lock(3, 6, 7, 7)}},
		{"above capacity", false, []Operation{of(lock(1, 0, 1, 5), 2), of(lock(2, 2, 3, 6), 2)}},
		{"one above capacity at the end", false, []Operation{lock(1, 0, 1, 5), lock(2, 0, 1, 6),
			lock(3, 0, 1, 7), lock(4, 2, 3, 8), unlock(1, 4, 5, 5)}},
		{"more than there are", false, []Operation{of(lock(1, 0, 1, 5), 4)}},
		{"refused", true, []Operation{of(lock(1, 0, 1, 5), 2), of(refused(2, 2, 3, 5), 2)}},
		{"refused with room", false, []Operation{of(lock(1, 0, 1, 5), 2), refused(2, 2, 3, 5)}},
		{"refused behind one who waits", true, []Operation{of(lock(1, 0, 1, 5), 2),
			of(lock(3, 2, 9, 6), 3), refused(2, 3, 4, 5), unlock(1, 5, 6, 5)}},
		{"an uncertain one takes room", true, []Operation{of(lost(1, 0), 2),
			of(refused(2, 2, 3, 5), 2), of(lock(2, 4, 5, 6), 3)}},
		{"uncertain ones of two sizes", true, []Operation{of(lost(1, 0), 2), of(lost(3, 0), 1),
			of(refused(2, 2, 3, 5), 2), of(lock(4, 4, 5, 6), 2), look(2, 6, 7, 5, 6)}},
		{"an uncertain one leaves room", false, []Operation{of(try(lost(1, 0)), 2),
			refused(2, 2, 3, 5)}},
		{"an uncertain one may wait", true, []Operation{of(lock(2, 0, 1, 5), 2), of(lost(1, 0), 2),
			refused(2, 2, 3, 5)}},
		{"unlock by a stranger", false, []Operation{lock(1, 0, 1, 5), unlock(2, 2, 3, 5)}},
	})
}

func TestRegister(t *testing.T) {
	read := func(b, e int64, token uint64, value int64) Operation {
		return at(1, b, e, Operation{Kind: Read, Token: token, Value: value, Outcome: Granted})
	}
	write := func(b, e int64, token uint64, before, value int64) Operation {
		return at(1, b, e, Operation{Kind: Write, Token: token, Before: before, Value: value,
			Outcome: Granted})
	}
	stale := func(b, e int64, token uint64) Operation {
		return at(1, b, e, Operation{Kind: Write, Token: token, Before: 1, Value: 7, Outcome: Refused})
	}
	run(t, Register(), []row{
		{"in turn", true, []Operation{read(0, 1, 5, 0), write(2, 3, 5, 0, 1), read(4, 5, 6, 1),
			write(6, 7, 6, 1, 2)}},
		{"stale write refused", true, []Operation{read(0, 1, 5, 0), read(2, 3, 6, 0), stale(4, 5, 5)}},
		{"stale write accepted", false, []Operation{read(0, 1, 5, 0), read(2, 3, 6, 0),
			write(4, 5, 5, 0, 1)}},
		{"good write refused", false, []Operation{read(0, 1, 5, 0), stale(2, 3, 5)}},
		{"write lost", false, []Operation{read(0, 1, 5, 0), read(2, 3, 5, 0), write(4, 5, 5, 0, 1),
			write(6, 7, 5, 0, 1)}},
		{"old value read", false, []Operation{read(0, 1, 5, 0), write(2, 3, 5, 0, 1),
			read(4, 5, 6, 0)}},
		{"order follows the tokens", true, []Operation{write(0, 9, 5, 0, 1), read(0, 9, 6, 1),
			stale(10, 11, 5)}},
		{"order against the tokens", false, []Operation{write(0, 9, 5, 0, 1), read(0, 9, 6, 0)}},
	})
}

// TestNamesApart: every name is a lock of its own.
func TestNamesApart(t *testing.T) {
	all := []Operation{lock(1, 0, 1, 5), lock(2, 2, 3, 6), lock(3, 4, 5, 6)}
	all[1].Name, all[2].Name = "m", "n"
	r := Check(Mutex(), all, time.Second)
	if r.Partitions != 2 || len(r.Failures) != 1 || r.Failures[0].Name != "n" {
		t.Errorf("got %d names, failures %+v, want 2 and one of n", r.Partitions, r.Failures)
	}
	if text := r.Err().Error(); !strings.Contains(text, "not explained: client 3") {
		t.Errorf("got %q, want the operation that does not fit", text)
	}
}

// TestUndecided: a search that takes too long is no success. Holds of readers
// which may end in any order before a writer comes, and one that never does.
func TestUndecided(t *testing.T) {
	all := []Operation{lock(99, 200, 201, 100)}
	for i := range 24 {
		token := uint64(i + 1)
		all = append(all, shared(lock(i, int64(2*i), int64(2*i+1), token)), expire(100, token))
	}
	all = append(all, shared(lock(98, 90, 91, 50)))
	r := Check(ReadWrite(), all, 20*time.Millisecond)
	if !errors.Is(r.Err(), ErrUndecided) {
		t.Errorf("got %v, want %v", r.Err(), ErrUndecided)
	}
}

func TestLog(t *testing.T) {
	now := int64(0)
	l := NewLog(func() int64 { now++; return now }, 2)
	o := l.Begin(Operation{Kind: Acquire, Name: "a"})
	l.End(o, Granted)
	l.Begin(Operation{Name: "c"})
	all := l.Operations()
	if len(all) != 2 || l.Room() != 0 {
		t.Fatalf("got %d operations and room for %d, want 2 and 0", len(all), l.Room())
	}
	if all[0].Began != 1 || all[0].Ended != 2 || all[0].Outcome != Granted {
		t.Errorf("got %+v, want granted from 1 to 2", all[0])
	}
	if all[1].Ended != Open || all[1].Outcome != Uncertain {
		t.Errorf("got %+v, want open and uncertain", all[1])
	}
	l.Reset()
	if n := testing.AllocsPerRun(100, func() { l.Begin(Operation{}); l.Reset() }); n != 0 {
		t.Errorf("an operation allocates %v times, want 0", n)
	}
}
