package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"lockd/lockd/admin"
	"lockd/lockd/node"
	"lockd/lockfsm"
	"lockd/lockfsm/checkpoint"
	"lockd/paxos"
	"lockd/wal"
	"lockd/wal/disk"
)

func dumpVerb() verb {
	return verb{
		name:  "dump",
		args:  "DIR",
		brief: "show what a data directory holds: identity, checkpoints, log",
		help: `
DIR is the data directory of a stopped node or a copy of one; nothing in it is
changed, and it may be read-only. What a running node is just writing looks like
damage. Checkpoints are opened in a temporary copy.

With -o json there is a line for the directory, one for each checkpoint, and a last one
for the log, which names every damaged place.

The exit code is 1 when the log or a checkpoint is damaged.`,
		begin: func(flags *flag.FlagSet) action {
			d := &dump{}
			declareNumber(flags, number{to: &d.group, least: -1, most: math.MaxUint16}, "group", -1,
				"show only this `group`; -1 is all")
			flags.BoolVar(&d.locks, "locks", false, "show the locks and sessions in checkpoints")
			flags.BoolVar(&d.records, "records", false, "show every record of the log, decoded")
			d.as.declareFor(flags, "text", "to be read")
			return func(sh *shell, args []string) error {
				if err := needArgs(args, "DIR"); err != nil {
					return err
				}
				if d.records && d.as == "json" {
					return failf(exitUsage, "dump: --records are text: leave out -o json")
				}
				out := bufio.NewWriterSize(sh.out, 64<<10)
				d.out, d.dir = out, args[0]
				found := d.run()
				if err := out.Flush(); err != nil {
					return err // which run may have met too
				}
				return found
			}
		},
	}
}

// dump is one call of lockd dump.
type dump struct {
	dir            string
	out            io.Writer
	group          int // -1 for all
	locks, records bool
	as             format
	tooNew         int
	found          admin.DumpedLog
}

// damaged notes a damaged place.
func (d *dump) damaged(in string, offset int64, err error) {
	d.found.Damage = append(d.found.Damage, admin.Damage{In: in, Offset: offset, Err: err})
}

// noOffset is that of what is damaged as a whole.
const noOffset = -1

func (d *dump) run() error {
	if err := d.identity(); err != nil {
		return err
	}
	if err := d.checkpoints(); err != nil {
		return err
	}
	if err := d.log(); err != nil {
		return err
	}
	damage := len(d.found.Damage)
	if d.tooNew > 0 && damage == 0 {
		return failf(exitFailure, "%d groups were written by a newer lockd; use that", d.tooNew)
	}
	if damage > 0 {
		return failf(exitFailure, "%d damaged places; a node would refuse this directory", damage)
	}
	return nil
}

func (d *dump) shows(group uint16) bool { return d.group < 0 || d.group == int(group) }

func (d *dump) identity() error {
	b, err := os.ReadFile(filepath.Join(d.dir, identityName))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is no data directory: it has no %s file", d.dir, identityName)
	}
	if err != nil {
		return err
	}
	id, err := node.DecodeIdentity(b)
	if err != nil {
		return err
	}
	if d.group >= int(id.Groups) {
		return failf(exitUsage, "dump: there is no group %d: the cluster has %d", d.group, id.Groups)
	}
	if d.as == "json" {
		_, err := d.out.Write(admin.AppendDirectory(nil, &id))
		return err
	}
	fmt.Fprintf(d.out, "cluster %q  node %d  disk %016x  groups %d  settings %016x  born %v\n",
		id.Cluster, id.Node, uint64(id.Disk), id.Groups, id.Settings, id.Born)
	fmt.Fprintf(d.out, "  started %d times, cluster record of slot %d\n", id.Starts, id.Version)
	if id.Record != nil {
		for i := range id.Record.Nodes {
			x := &id.Record.Nodes[i]
			fmt.Fprintf(d.out, "  node %d on disk %016x, %v\n", x.ID, uint64(x.Disk), x.State)
		}
	}
	return nil
}

// checkpoints opens a copy of the store, because opening one changes it.
func (d *dump) checkpoints() error {
	from := filepath.Join(d.dir, checkpointName)
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return d.say("no checkpoints\n")
	}
	copied, err := os.MkdirTemp("", "lockd-dump-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(copied)
	if err := os.CopyFS(copied, os.DirFS(from)); err != nil {
		return fmt.Errorf("copying the checkpoints: %w", err)
	}
	store, err := checkpoint.Open(copied, checkpoint.Options{
		Fatal: func(err error) {
			fmt.Fprintf(os.Stderr, "lockd: %v\n", err)
			os.Exit(exitFailure)
		},
		Report: func(checkpoint.Report) {}, // what is damaged shows when it is read
	})
	if err != nil {
		d.damaged(checkpointName, noOffset, err)
		return d.say("DAMAGE in the checkpoints: %v\n", err)
	}
	err = d.groups(store)
	return errors.Join(err, store.Close())
}

// say prints for people. An error of it shows at the end as well.
func (d *dump) say(text string, args ...any) error {
	if d.as == "json" {
		return nil
	}
	_, err := fmt.Fprintf(d.out, text, args...)
	return err
}

func (d *dump) groups(store *checkpoint.Store) error {
	all := store.Groups()
	_ = d.say("checkpoints of %d groups\n", len(all))
	for _, g := range all {
		if !d.shows(g.Group) {
			continue
		}
		_ = d.say("  group %d  slot %d  %d records\n", g.Group, g.Slot, g.Records)
		told := admin.NewDumpedGroup(g.Group, uint64(g.Slot), g.Records)
		m, err := loadMachine(store, g.Group, anyLimits())
		switch {
		case errors.Is(err, lockfsm.ErrTooNew):
			d.tooNew++
			told.TooNew(err)
			_ = d.say("  TOO NEW: %v\n", err)
		case err != nil:
			d.damaged(fmt.Sprintf("checkpoint of group %d", g.Group), noOffset, err)
			told.Damaged(err)
			_ = d.say("  DAMAGE: %v\n", err)
		case d.locks && d.as == "json":
			told.Machine(m.LogTime(), m.Digest())
			m.ForEachSession(func(s *lockfsm.SessionInfo) bool { told.Session(s); return true })
			m.ForEachLock(func(l *lockfsm.LockInfo) bool { told.Lock(l); return true })
		case d.locks:
			d.machine(m)
		}
		if d.as == "json" {
			if _, err := d.out.Write(told.Append(nil)); err != nil {
				return err
			}
		}
	}
	return nil
}

// anyLimits are limits that fit every machine.
func anyLimits() lockfsm.Limits {
	const many = 1 << 30
	l := lockfsm.DefaultLimits()
	l.Sessions, l.Locks, l.Claims, l.Detached = many, many, many, many
	l.ClaimsPerSession, l.WaitersPerLock = many, many
	l.HoldersPerLock = 1<<16 - 1
	l.LeaseMin, l.LeaseMax, l.HoldMin, l.HoldMax = 1, 1<<31, 1, 1<<31
	l.TickCap = 1
	return l
}

func (d *dump) machine(m *lockfsm.Machine) {
	stats := m.Stats()
	fmt.Fprintf(d.out, "    log time %d ms  digest %016x  %d sessions  %d locks\n",
		m.LogTime(), m.Digest(), stats.Sessions, stats.Locks)
	m.ForEachSession(func(s *lockfsm.SessionInfo) bool {
		fmt.Fprintf(d.out, "    session %d  %q  epoch %d  lease %d ms until %d  %d claims%s%s\n",
			s.ID, s.Name, s.Epoch, s.Lease, s.Deadline, s.Claims, when("  parked", truth(s.Parked)),
			when("  ending", truth(s.Ending)))
		return true
	})
	m.ForEachLock(func(l *lockfsm.LockInfo) bool {
		fmt.Fprintf(d.out, "    %s\n", lockText(l))
		for i := range l.Holders {
			h := &l.Holders[i]
			fmt.Fprintf(d.out, "      held by %d  token %d  %s  since %d%s\n", h.Session,
				h.Token, claimText(h), h.Since, when("  detached", truth(h.Detached)))
		}
		for i := range l.Waiters {
			w := &l.Waiters[i]
			fmt.Fprintf(d.out, "      waits: %d  request %d  %s  weight %d%s\n", w.Session,
				w.Request, claimText(w), w.Weight, when("  parked", truth(w.Parked)))
		}
		return true
	})
}

// lockText names a lock by its kind.
func lockText(l *lockfsm.LockInfo) string {
	if l.Capacity > 0 {
		return fmt.Sprintf("semaphore %q  %d of %d permits", l.Name, l.Taken, l.Capacity)
	}
	return fmt.Sprintf("lock %q", l.Name)
}

// claimText says what a claim takes: permits, or a mode and for whom.
func claimText(c *lockfsm.ClaimInfo) string {
	switch {
	case c.Permits > 0:
		return fmt.Sprintf("permits %d", c.Permits)
	case c.Owner != 0:
		return fmt.Sprintf("mode %v  owner %d  depth %d", c.Mode, c.Owner, c.Depth)
	default:
		return fmt.Sprintf("mode %v", c.Mode)
	}
}

// when shows a word that is only worth showing when it applies.
func when(text string, applies truth) string {
	if applies {
		return text
	}
	return ""
}

// truth is a fact to be shown, not a switch.
type truth bool

func (d *dump) log() error {
	dir, err := disk.View(filepath.Join(d.dir, walName))
	if err != nil {
		return err
	}
	err = errors.Join(wal.Inspect(dir, d.item), dir.Close())
	l := &d.found
	if d.as == "json" {
		_, told := d.out.Write(admin.AppendDumpedLog(nil, l))
		return errors.Join(err, told)
	}
	return errors.Join(err, d.say("log: %d accepts, %d promises, %d hints\n", l.Accepts, l.Promises,
		l.Hints))
}

// item counts and shows one thing that the log holds.
func (d *dump) item(it wal.Item) error {
	l := &d.found
	switch it.Kind {
	case wal.ItemSegment:
		l.Segments = append(l.Segments, it)
	case wal.ItemTorn:
		l.Next = it.First
	case wal.ItemSpare:
		l.Spares++
	case wal.ItemDamage:
		d.damaged(it.File, it.Offset, it.Err)
	case wal.ItemRecord:
		return d.recordItem(it)
	case wal.ItemBatch:
		if !d.records {
			return nil
		}
	}
	return d.say("%v\n", it)
}

// recordItem counts a record, and shows it if that is wanted.
func (d *dump) recordItem(it wal.Item) error {
	if node.IsMemory(&it.Record) {
		return d.memory(it)
	}
	group, mark := node.IsMark(&it.Record)
	switch {
	case mark:
	case it.Record.Kind == wal.KindEntry:
		d.found.Accepts++
	case it.Record.Kind == wal.KindState:
		d.found.Promises++
	case it.Record.Kind == wal.KindHint:
		d.found.Hints++
	}
	switch {
	case !d.records || !d.shows(group):
		return nil
	case mark:
		return d.mark(it, group)
	}
	return d.record(it)
}

// mark shows what the log says of a group as a whole.
func (d *dump) mark(it wal.Item, group uint16) error {
	text, err := node.MarkText(&it.Record)
	if err != nil {
		d.damaged(it.File, it.Offset, err)
		text = fmt.Sprintf("DAMAGE: %v", err)
	}
	_, err = fmt.Fprintf(d.out, "%v  group %d: %s\n", it, group, text)
	return err
}

// memory shows what the node remembers of its peers, which is of no group.
func (d *dump) memory(it wal.Item) error {
	text, err := node.MemoryText(&it.Record)
	if err != nil {
		d.damaged(it.File, it.Offset, err)
		text = fmt.Sprintf("DAMAGE: %v", err)
	}
	if err != nil || d.records && d.group < 0 {
		return d.say("%v  %s\n", it, text)
	}
	return nil
}

// record shows what one record says.
func (d *dump) record(it wal.Item) error {
	r := node.PaxosRecord(&it.Record)
	e, err := paxos.ReadRecord(&r)
	if err != nil {
		d.damaged(it.File, it.Offset, err)
		_, err = fmt.Fprintf(d.out, "%v  DAMAGE: %v\n", it, err)
		return err
	}
	what := "chosen up to here"
	switch r.Kind {
	case paxos.RecordPromise:
		what = fmt.Sprintf("promise of ballot %v", e.Ballot)
	case paxos.RecordAccept:
		what = fmt.Sprintf("accept in ballot %v", e.Ballot)
	case paxos.RecordChosen:
	}
	fmt.Fprintf(d.out, "%v  %s\n", it, what)
	if r.Kind != paxos.RecordAccept {
		return nil
	}
	lines, err := lockfsm.BatchText(e.Value)
	if len(lines) == 0 && err == nil {
		lines = []string{"no-op"}
	}
	for _, line := range lines {
		fmt.Fprintln(d.out, "        "+line)
	}
	if err != nil {
		fmt.Fprintf(d.out, "        does not decode: %v\n", err)
	}
	return nil
}
