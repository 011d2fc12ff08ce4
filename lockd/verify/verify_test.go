package verify

import (
	"bytes"
	"context"
	"errors"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"lockd/client"
	"lockd/client/locktest"
	"lockd/lockd/verify/check"
)

// options are those of a short run on a cluster.
func options(c *locktest.Cluster) Options {
	began := time.Now()
	return Options{Addresses: c.Addrs(), Name: "verify", Prefix: "lockd-verify", For: 4 * time.Second,
		Workers: 8, Clients: 4, Locks: 10, Rate: 3000, Lease: time.Second, Timeout: 3 * time.Second,
		Length: 200 * time.Millisecond, Rest: 100 * time.Millisecond, Seed: 1,
		Clock: func() int64 { return int64(time.Since(began)) }}
}

// leaderMoves is a fault of a cluster of locktest.
type leaderMoves struct {
	c     *locktest.Cluster
	heals int
}

func (f *leaderMoves) Begin(context.Context) (string, error) {
	f.c.MoveLeader("a")
	return "leaders moved", nil
}

func (f *leaderMoves) Heal(context.Context) error {
	f.heals++
	return nil
}

// TestRun has a cluster of three nodes verified while its leaders move, conns are cut
// and a client is paused until its sessions are over: there is no violation, every
// kind was injected, and nothing is left behind. The history it wrote says the same.
func TestRun(t *testing.T) {
	c := locktest.New(t, locktest.Options{})
	o := options(c)
	moves := &leaderMoves{c: c}
	o.Outside = map[string]Fault{"move": moves}
	o.Faults = []string{KindPause, KindConns, "move", KindForce}
	o.For, o.Workers, o.Clients = 5*time.Second, 16, 2 // so that who is paused holds something
	var file bytes.Buffer
	o.History = &file
	o.Tell = func(line string) { t.Log(line) }
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Violated() || r.Unwell != nil || len(r.Verdict.Undecided) > 0 {
		t.Fatalf("got %v, unexpected %v, unwell %v, undecided %v", r.Verdict.Violations, r.Unexpected,
			r.Unwell, r.Verdict.Undecided)
	}
	t.Logf("%d operations, %d definite, %d ghosts, %d busy, checked in %v; %+v", r.Operations,
		r.Definite, r.Verdict.Ghosts, r.Busy, r.Checked, r.Gaps)
	if r.Operations < 500 || r.Definite < r.Operations/2 || r.Verdict.Names != o.Locks {
		t.Errorf("got %d operations, %d definite, of %d names: too few", r.Operations, r.Definite,
			r.Verdict.Names)
	}
	for _, kind := range []string{baseline, KindConns, KindPause, "move", KindForce} {
		if !slices.ContainsFunc(r.Gaps, func(g Gap) bool { return g.Kind == kind && g.Max > 0 }) {
			t.Errorf("nothing is told of %q: %+v", kind, r.Gaps)
		}
	}
	if moves.heals == 0 {
		t.Error("a fault was not healed")
	}
	look := c.Client(t, client.Options{})
	if left, err := look.List(t.Context(), "", client.ListOptions{}); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v left, want nothing", left, err)
	}
	again, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	for kind := check.Acquire; kind <= check.Convert; kind++ {
		did := func(o check.Operation) bool { return o.Kind == kind && o.Outcome == check.Done }
		if kind != check.Loss && !slices.ContainsFunc(again, did) {
			t.Errorf("nobody has done what is of kind %d", kind)
		}
	}
	second := check.Check(again)
	if len(second.Violations) > 0 || second.Operations != r.Operations ||
		second.Most != r.Verdict.Most {
		t.Errorf("read again: got %+v, want as before", second)
	}
	losses := slices.ContainsFunc(again, func(o check.Operation) bool { return o.Kind == check.Loss })
	if !losses {
		t.Error("the paused client has lost nothing")
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

var errFull = errors.New("no space")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// TestSplitBrainIsFound: of two clusters each takes itself for the whole, and half of
// the clients talk to either. Every lock is granted twice, and verify says so, also if
// the record cannot be written.
func TestSplitBrainIsFound(t *testing.T) {
	c, other := locktest.New(t, locktest.Options{}), locktest.New(t, locktest.Options{})
	o := options(c)
	o.For, o.History = time.Second, fullDisk{}
	o.Dial = func(i int) Dialer {
		return func(ctx context.Context, address string) (net.Conn, error) {
			if n := slices.Index(c.Addrs(), address); n >= 0 && i%2 == 1 {
				address = other.Addrs()[n]
			}
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[check.Rule]bool{}
	for _, v := range r.Verdict.Violations {
		rules[v.Rule] = true
	}
	if !errors.Is(r.Unwritten, errFull) {
		t.Errorf("got %v of the record, want %v", r.Unwritten, errFull)
	}
	if !r.Violated() || len(r.Notes) != len(r.Verdict.Violations) {
		t.Errorf("got %d violations with %d notes, want some", len(r.Verdict.Violations), len(r.Notes))
	}
	t.Logf("%d of %d names: %v; %s", len(r.Verdict.Violations), r.Verdict.Names, rules, r.Notes)
}

// TestInterrupted: a run that is ended early has healed, given back and judged.
func TestInterrupted(t *testing.T) {
	c := locktest.New(t, locktest.Options{})
	o := options(c)
	o.For = time.Minute
	o.Faults = []string{KindPause}
	o.Rest = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Tell = func(line string) {
		if strings.HasPrefix(line, KindPause) {
			cancel()
		}
	}
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Violated() || r.Took > 30*time.Second {
		t.Errorf("got interrupted %v, %v, %v, after %v", r.Interrupted, r.Verdict.Violations,
			r.Unexpected, r.Took)
	}
	look := c.Client(t, client.Options{})
	if left, err := look.List(t.Context(), "", client.ListOptions{}); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v left, want nothing", left, err)
	}
	// The same names again, one of which is somebody's now.
	if _, err := look.Lock(t.Context(), r.Prefix+"other"); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrPrefixInUse) {
		t.Errorf("names in use: got %v, want %v", err, ErrPrefixInUse)
	}
}

// TestLeakIsFound: a lock that somebody holds still, when all gave back what they knew
// to have, is told.
func TestLeakIsFound(t *testing.T) {
	c := locktest.New(t, locktest.Options{})
	other := c.Client(t, client.Options{Name: "nobody"})
	o := options(c)
	o.For = time.Second
	o.Tell = func(line string) {
		_, after, ok := strings.Cut(line, "locks below \"")
		prefix, _, _ := strings.Cut(after, "\"")
		if !ok {
			return
		}
		if _, err := other.Lock(t.Context(), prefix+"leaked"); err != nil {
			t.Error(err)
		}
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(r.Unexpected, errLeak) || !strings.Contains(r.Unexpected.Error(), `first "nobody"`) {
		t.Errorf("got %v, want %v", r.Unexpected, errLeak)
	}
}

// TestUnwellClusterIsLeftAlone: no fault is injected where one node is missing already.
func TestUnwellClusterIsLeftAlone(t *testing.T) {
	c := locktest.New(t, locktest.Options{})
	c.Kill(3)
	o := options(c)
	o.Addresses = c.Addrs()[:2]
	o.Faults = []string{KindConns}
	if _, err := Run(t.Context(), o); !errors.Is(err, ErrUnhealthy) {
		t.Errorf("got %v, want %v", err, ErrUnhealthy)
	}
}

func TestValidate(t *testing.T) {
	good := Options{Addresses: []string{"a:1"}, For: time.Minute, Workers: 4, Clients: 2, Locks: 5,
		Rate: 100, Lease: time.Second, Timeout: time.Second, Length: 1, Rest: 1, Prefix: "p",
		Clock: func() int64 { return 0 }}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*Options){
		"addresses": func(o *Options) { o.Addresses = nil },
		"for":       func(o *Options) { o.For = 0 },
		"workers":   func(o *Options) { o.Workers = MaxWorkers + 1 },
		"clients":   func(o *Options) { o.Clients = 1 },
		"locks":     func(o *Options) { o.Locks = 4 },
		"rate":      func(o *Options) { o.Rate = 0 },
		"too much":  func(o *Options) { o.For, o.Rate = 24*time.Hour, 1000 },
		"lease":     func(o *Options) { o.Lease = 0 },
		"prefix":    func(o *Options) { o.Prefix = "" },
		"fault":     func(o *Options) { o.Faults = []string{"nothing"} },
		"twice":     func(o *Options) { o.Faults = []string{KindConns, KindConns} },
	} {
		o := good
		if spoil(&o); !errors.Is(o.Validate(), ErrOptions) {
			t.Errorf("%s: got %v, want %v", what, o.Validate(), ErrOptions)
		}
	}
}

// TestReadRefuses what is no history.
func TestReadRefuses(t *testing.T) {
	const head = `{"lockd_verify_history":1,"operations":1}` + "\n"
	for _, text := range []string{"", "{}", "no", `{"lockd_verify_history":2}`, head,
		head + `{"op":"dance","outcome":"done"}`, head + `{"op":"get","outcome":"certain"}`,
		head + `{"op":"get","outcome":"done","call_ns":5}`,
		head + `{"op":"get","outcome":"done","call_ns":5,"return_ns":4}`,
		head + `{"op":"acquire","mode":"XX","outcome":"done","return_ns":4}`} {
		if _, err := Read(strings.NewReader(text)); !errors.Is(err, ErrFile) {
			t.Errorf("%q: got %v, want %v", text, err, ErrFile)
		}
	}
}

// FuzzRead: whatever a file says, it is refused or judged; what is read is written as it
// was.
func FuzzRead(f *testing.F) {
	var good bytes.Buffer
	if err := Write(&good, []check.Operation{
		{Call: 1, Return: 2, Name: "n", Kind: check.Acquire, Outcome: check.Done, Token: 3, Owner: 4,
			Reads: &check.Value{Data: "a", Token: 2}, Mode: check.Shared, Waits: check.Queues},
		{Call: 1, Return: check.Open, Name: "n", Kind: check.Loss, Token: 3},
		{Call: 2, Return: 3, Name: "n", Kind: check.Get, Outcome: check.Done,
			Holders: []check.Holder{{Token: 3, Mode: check.Shared, Depth: 1}}},
		{Call: 2, Return: 4, Name: "s", Kind: check.Acquire, Outcome: check.Refused, Permits: 1,
			Capacity: 3, Again: 1},
		{Call: 5, Return: 6, Name: "n", Kind: check.Test, Outcome: check.Done, Token: 3, Newest: 9},
		{Call: 5, Return: 6, Name: "n", Kind: check.Write, Outcome: check.Done, Token: 3, Value: "a"},
	}); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		check.Check(all)
		var again bytes.Buffer
		if err := Write(&again, all); err != nil {
			t.Fatal(err)
		}
		if second, err := Read(&again); err != nil || !reflect.DeepEqual(all, second) {
			t.Errorf("read again: got %v, %v, want %v", second, err, all)
		}
	})
}
