package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"lockd/client"
)

// SoakFault is one kind of thing that a Soak does to its cluster.
type SoakFault struct {
	// Name is how it is counted and printed.
	Name string
	// Alone faults do not fall together with others.
	Alone Together
	// Begin does it and returns how it is undone. Both may be given a node that
	// another fault has stopped or killed meanwhile.
	Begin func(ctx context.Context, s *Soak) (heal func() error, err error)
}

// Together says whether faults may fall together.
type Together uint8

// The choices.
const (
	Overlaps Together = iota
	Alone
)

// SoakOptions describe a Soak.
type SoakOptions struct {
	// Binary is the path of lockd, Dir an existing directory for all else.
	Binary, Dir string
	// Seed draws faults and load.
	Seed uint64
	// Flags are added to the command line of every node.
	Flags []string
	// Faults are drawn from. Default: SoakFaults. Where the machine cannot make
	// file systems, power cuts are left out.
	Faults []SoakFault
	// Say is called with each line of the story. Default: nothing is told.
	Say func(format string, args ...any)
}

// Soak lets one fault follow the other on a cluster under load, and checks after
// each that nothing was violated, that nothing was lost, and that all groups
// serve. It belongs to one goroutine.
type Soak struct {
	Cluster *Cluster
	Draw    *rand.Rand
	Images  []*Image // under the nodes, where there can be any

	opts    SoakOptions
	load    *Load
	keep    *Keep
	probe   *Probe
	watch   *client.Client
	done    map[string]int // faults by name
	longest time.Duration  // that a group took to serve after a heal
}

// What a Soak demands and how it goes about it.
const (
	soakGroups = 12
	soakServe  = 20 * time.Second // for all groups to serve when all is healed
	soakImage  = 320 << 20        // holds the log at its bound and checkpoints
)

// NewSoak starts a cluster and its load. The caller must call Close.
func NewSoak(ctx context.Context, o SoakOptions) (*Soak, error) {
	if o.Faults == nil {
		o.Faults = SoakFaults()
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	s := &Soak{opts: o, Draw: rand.New(rand.NewPCG(o.Seed, 0x50a4)), done: map[string]int{}}
	var err error
	s.Cluster, err = New(Options{Binary: o.Binary, Dir: o.Dir, Name: "soak", Network: Proxied,
		Seed: o.Seed, Flags: append([]string{"--groups", fmt.Sprint(soakGroups), "--wal-segment",
			"1MiB", "--wal-segments", "3", "--wal-segments-max", "32", "--batch", "256KiB",
			"--checkpoint", "512KiB", "--checkpoint-cache", "4MiB"}, o.Flags...)})
	if err != nil {
		return nil, err
	}
	if err := s.place(); err != nil {
		return s, err
	}
	if err := s.Cluster.Start(ctx); err != nil {
		return s, err
	}
	return s, s.clients(ctx)
}

// place puts the nodes onto file systems whose power can be cut, if this machine
// can make them.
func (s *Soak) place() error {
	for _, n := range s.Cluster.Nodes {
		im, err := NewImage(s.opts.Dir, fmt.Sprintf("disk%d", n.ID), Ext4Journal, soakImage)
		if errors.Is(err, ErrNoImages) {
			s.opts.Say("no power cuts: %v", err)
			s.opts.Faults = slices.DeleteFunc(slices.Clone(s.opts.Faults),
				func(f SoakFault) bool { return f.Name == powerCut })
			if len(s.opts.Faults) == 0 {
				return err
			}
			return nil
		}
		if err != nil {
			return err
		}
		s.Images = append(s.Images, im)
		n.Dir = filepath.Join(im.Path(), fmt.Sprintf("node%d", n.ID))
	}
	return nil
}

// clients starts load, probe and holds. The holds have a lease that outlives any
// fault.
func (s *Soak) clients(ctx context.Context) error {
	var all []*client.Client
	for _, o := range []client.Options{
		{Name: "watch"}, {Name: "holder", Lease: 10 * time.Minute},
		{Name: "other", Lease: 10 * time.Minute}, {Name: "load a", Lease: 30 * time.Second},
		{Name: "load b", Lease: 30 * time.Second}, {Name: "probe", Lease: 30 * time.Second},
	} {
		c, err := s.Cluster.Dial(ctx, o)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	s.watch = all[0]
	var err error
	if s.keep, err = NewKeep(ctx, all[1], all[2], 8); err != nil {
		return err
	}
	s.load = StartLoad(LoadOptions{Clients: all[3:5], Workers: 8, Names: 6, Groups: soakGroups,
		Seed: s.opts.Seed})
	s.probe = StartProbe(all[5:], soakGroups, 5*time.Millisecond)
	return s.check(ctx)
}

// Close ends everything.
func (s *Soak) Close() error {
	var problems []error
	if s.probe != nil {
		s.probe.Stop()
	}
	if s.load != nil {
		problems = append(problems, s.load.Stop())
	}
	problems = append(problems, s.Cluster.Close())
	for _, im := range s.Images {
		problems = append(problems, im.Close())
	}
	return errors.Join(problems...)
}

// Round draws one fault, or two that overlap, heals them, and checks.
func (s *Soak) Round(ctx context.Context) error {
	faults := []SoakFault{s.opts.Faults[s.Draw.IntN(len(s.opts.Faults))]}
	second := s.opts.Faults[s.Draw.IntN(len(s.opts.Faults))]
	if s.Draw.IntN(3) == 0 && faults[0].Alone == Overlaps && second.Alone == Overlaps {
		faults = append(faults, second)
	}
	var heals []func() error
	var problems []error
	name := ""
	for _, f := range faults {
		heal, err := f.Begin(ctx, s)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", f.Name, err))
		}
		if heal != nil {
			heals = append(heals, heal)
		}
		s.done[f.Name]++
		name += " " + f.Name
		s.rest(ctx, 200*time.Millisecond, 3*time.Second)
	}
	for _, heal := range heals {
		problems = append(problems, heal())
		s.rest(ctx, 0, 300*time.Millisecond)
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("faulttest: soak:%s: %w", name, err)
	}
	if err := s.check(ctx); err != nil {
		return fmt.Errorf("faulttest: after%s: %w", name, err)
	}
	return nil
}

// rest lets a drawn time pass.
func (s *Soak) rest(ctx context.Context, least, most time.Duration) {
	pause(ctx, least+time.Duration(s.Draw.Int64N(int64(most-least))))
}

// check demands that all nodes come back, that every group serves, and that
// nothing was violated or lost.
func (s *Soak) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, soakServe)
	defer cancel()
	s.probe.Watch()
	if err := s.Cluster.Start(ctx); err != nil {
		return err
	}
	took, err := s.probe.AwaitProgress(ctx)
	if err != nil {
		return err
	}
	s.longest = max(s.longest, took)
	return errors.Join(s.load.Err(), s.keep.Check(ctx))
}

// Finish ends the load, demands that the nodes converge, and passes the kept
// locks on to those who have waited for them all the time.
func (s *Soak) Finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s.probe.Stop()
	if err := s.load.Stop(); err != nil {
		return err
	}
	if err := s.keep.PassOn(ctx); err != nil {
		return err
	}
	return s.Cluster.AwaitEqual(ctx, s.watch)
}

// Figures describe what has happened so far, a line each.
func (s *Soak) Figures() []string {
	total, kinds := 0, []string(nil)
	for name, n := range s.done {
		kinds = append(kinds, fmt.Sprintf("  %-16s %d", name, n))
		total += n
	}
	slices.Sort(kinds)
	head := []string{
		fmt.Sprintf("%d locks taken and given back, %d holds lost, %d calls without an answer",
			s.load.Grants.Load()+s.probe.Pairs.Load(), s.load.Lost.Load(),
			s.load.Refused.Load()+s.probe.Refused.Load()),
		fmt.Sprintf("all groups served at most %v after each heal",
			s.longest.Round(time.Millisecond)),
		fmt.Sprintf("%d violations", s.load.violations()),
		s.powerCuts(),
		fmt.Sprintf("%d faults:", total),
	}
	return append(head, kinds...)
}

// powerCuts says what power cuts did, as the file systems show it.
func (s *Soak) powerCuts() string {
	cuts, took := 0, 0
	for _, im := range s.Images {
		cuts += im.Cuts
		took += im.Took
	}
	return fmt.Sprintf("%d times the power of a file system went and came back; %d times a file "+
		"that was not synced went with it", cuts, took)
}
