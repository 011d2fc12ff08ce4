package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/config"
	"lockd/lockd/history"
	"lockd/lockd/node"
	"lockd/lockd/placement"
	"lockd/lockfsm/checkpoint"
	"lockd/netio"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
	"lockd/wal/disk"
)

// assembly is one running node: an engine and everything it stands on. It is
// made by assemble and ends by shutDown, or with the process when failed says
// that the node must stop.
type assembly struct {
	cfg    config.Config
	log    *slog.Logger
	events *eventLog

	dir    *directory
	store  *checkpoint.Store
	syncer *wal.Syncer
	keeper *keeper
	// history is nil if the node keeps none, be it that it could not be opened.
	history *history.Loop
	record  *history.Store
	// historyTold is what was said of writes that failed; the history's loop owns it.
	historyTold repeats
	inbox       *node.Inbox
	node        *node.Node
	engine      *node.Loop
	server      *netio.Server
	links       *netio.Links
	admin       net.Listener // nil when there is none
	locks       *lazyClient
	faults      *faults // nil unless the node may do any to itself

	// failed receives what stops the node. Everything that can fail by itself
	// sends once, and there is room for all.
	failed chan error
	// reports counts what the store of checkpoints reported, by kind; the store
	// writes them, from any goroutine.
	reports [checkpoint.ReportLowSpace + 1]atomic.Uint64
	// dying says that die has begun to end the process.
	dying   atomic.Bool
	failure atomic.Pointer[error] // the first of them; written by stoppedBy
	undo    []func() error        // closes what is open, newest last
}

// assemble opens everything from the directory up and starts the engine. On an
// error it leaves nothing open.
func assemble(cfg config.Config, log *slog.Logger) (*assembly, error) {
	a := &assembly{cfg: cfg, log: log, failed: make(chan error, 8)}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *assembly) open() error {
	o := a.cfg.NodeOptions()
	o.Build = build()
	o.Seed = randomSeed()
	o.Format = newestFormat
	if err := o.Validate(); err != nil {
		return &failure{code: exitUsage, err: err}
	}
	a.events = newEventLog(a.log)
	a.events.start()
	a.onClose(func() error { a.events.end(); return nil })
	if err := checkMachine(machineLimit(&a.cfg)); err != nil {
		return err
	}
	if !ownGC() {
		limitMemory(&a.cfg)
		stop := make(chan struct{})
		newHeapKeeper().start(stop)
		a.onClose(func() error { close(stop); return nil })
	}

	if err := a.allowFaults(); err != nil {
		return err
	}
	recovery, err := a.recover(&o)
	if err != nil {
		return err
	}
	log := newLogPort(a.syncer, a.cfg.WALSegmentBytes)
	clients := clientHandler{&clientPort{inbox: a.inbox, rounds: log.rounds}}
	peers := newPeerPort(a.inbox, a.log, a.cfg.PeerAddresses())
	peers.faults = a.faults
	deps := node.Deps{
		Log:         log,
		Peers:       peers,
		Clients:     clients.clientPort,
		Checkpoints: a.keeper,
		Superblock:  a.dir,
		Observe:     a.events.observe,
	}
	if a.history != nil {
		deps.History = a.history
	}
	a.node, err = node.New(o, deps, a.inbox, recovery)
	if err != nil {
		return err
	}
	clients.node, peers.node = a.node, a.node
	a.catchUp()
	if err := a.listen(clients, peers); err != nil {
		return err
	}
	a.keeper.start()
	a.onClose(a.keeper.end)
	a.engine = node.Start(a.node, a.faults.clock(bootNanos), a.server.Wake)
	awaitEngine(a.engine, a.failed)
	a.onClose(func() error { a.engine.Stop(); return nil })
	if a.faults != nil {
		a.faults.send, a.faults.reset = a.links.Send, a.links.Reset
		a.faults.start()
		a.onClose(a.faults.end)
	}
	return nil
}

// allowFaults prepares for faults of the node's own, if they are allowed.
func (a *assembly) allowFaults() error {
	secret, err := a.cfg.FaultsSecret()
	if err != nil || secret == nil {
		return err
	}
	a.log.Warn("faults.allow is true: who knows the secret of faults.secret_file can cut this node "+
		"off, stall its disk, pause it and kill it", "admin", a.cfg.AdminListen)
	a.faults = newFaults(secret, a.log)
	return nil
}

// recover opens the directory and everything in it and reads it back.
func (a *assembly) recover(o *node.Options) (*node.Recovery, error) {
	began := time.Now()
	dir, err := openDirectory(a.cfg.DataDir)
	if err != nil {
		return nil, err
	}
	a.dir = dir
	a.onClose(dir.close)
	warnOfSpace(&a.cfg, dir.path, a.log)
	warnOfFiles(fileLimit(), a.log)
	id, err := dir.identity(o)
	if err != nil {
		return nil, err
	}
	if err := id.Check(o); err != nil {
		return nil, dir.differs(&a.cfg, &id, err)
	}
	if err := dir.noteSettings(&a.cfg); err != nil {
		return nil, fmt.Errorf("writing the settings of the directory: %w", err)
	}
	recovery := node.NewRecovery(id, *o)
	if err := a.openStore(recovery); err != nil {
		return nil, err
	}
	a.inbox = node.NewInbox(o.MaxInboxBytes)
	a.keeper = newKeeper(a.store, a.inbox, recovery.Limits())
	a.openHistory()

	walOpts := a.cfg.WALOptions()
	walOpts.Stamp = uint64(id.Disk)
	walOpts.Clock = disk.BootNanos
	records := 0
	w, err := wal.Open(a.faults.disk(dir.log), walOpts, func(lsn wal.LSN, r wal.Record) error {
		records++
		return recovery.Replay(lsn, r)
	})
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", dir.path, err)
	}
	recovery.Opened(w.Stats().Durable)
	a.syncer = wal.StartSyncer(w, wal.SyncerOptions{
		OnDurable: a.inbox.Durable,
		OnFailed:  a.inbox.Failed,
		OnPrepareFailed: func(err error) {
			a.log.Warn("no spare segment for the log", "reason", err)
		},
	})
	a.onClose(a.syncer.Stop)
	a.log.Info("directory read", "dir", dir.path, "disk", fmt.Sprintf("%016x", uint64(id.Disk)),
		"checkpoints", len(a.store.Groups()), "records", records, "born", id.Born,
		"took", time.Since(began).Round(time.Millisecond))
	return recovery, nil
}

// catchUp has the node apply the end of its log, on all cores.
func (a *assembly) catchUp() {
	began := time.Now()
	slots := a.node.CatchUp(func(n int, fn func(i int)) {
		sideBySide(n, runtime.GOMAXPROCS(0), fn)
	})
	a.log.Info("log applied", "slots", slots, "took", time.Since(began).Round(time.Millisecond))
}

// openStore opens the checkpoints and hands the machines over.
func (a *assembly) openStore(recovery *node.Recovery) error {
	store, err := checkpoint.Open(a.dir.checkpoints(), checkpoint.Options{
		Fatal:      a.die,
		Report:     a.report,
		CacheBytes: a.cfg.CheckpointCacheBytes,
		// Most of what the directory may take it has taken already.
		LowSpaceBytes: a.cfg.Disk().Sum() / 4,
	})
	if err != nil {
		return err
	}
	a.store = store
	a.onClose(store.Close)
	groups := store.Groups()
	machines, err := loadMachines(store, groups, recovery.Limits())
	if err != nil {
		return err
	}
	for i, g := range groups {
		recovery.Checkpoint(g.Group, machines[i])
	}
	return nil
}

// die ends the process when the store cannot go on and must not return. The
// store may be in the middle of anything, so nothing else is closed.
func (a *assembly) die(err error) {
	a.dying.Store(true)
	err = advise(fmt.Errorf("node %d stopped: the checkpoints failed: %w", a.cfg.ID, err))
	afterLastWord(silence)
	fmt.Fprintf(os.Stderr, "lockd: %v\n", err)
	silence()
	os.Exit(exitFailure)
}

// report acts on what the store found in the background.
func (a *assembly) report(r checkpoint.Report) {
	a.log.Warn("checkpoints: "+r.Kind.String(), "reason", r.Err)
	a.reports[r.Kind].Add(1)
	if r.Kind != checkpoint.ReportDamage {
		return
	}
	select {
	case a.failed <- r.Err:
	default: // the node is stopping already
	}
}

// listen opens the sockets.
func (a *assembly) listen(clients clientHandler, peers *peerPort) error {
	links, err := a.cfg.LinkOptions()
	if err != nil {
		return err
	}
	server := a.cfg.ServerOptions()
	server.Logf = func(format string, args ...any) { a.log.Warn(fmt.Sprintf(format, args...)) }
	if a.server, err = netio.Listen(server, clients); err != nil {
		return err
	}
	clients.server.Store(a.server)
	a.onClose(func() error { return a.stopServer(time.Second) })

	links.Server = a.server
	links.Seed = randomSeed()
	links.Hello = func(uint16) wire.PeerHello { return a.node.PeerHello() }
	links.Stranger = peers.checkStranger
	links.Unproven = peers.unproven
	if a.links, err = netio.OpenLinks(links, peers); err != nil {
		return err
	}
	peers.links = a.links
	a.onClose(func() error { return a.closeLinks(time.Second) })
	peers.start()
	a.onClose(peers.end)
	return a.listenAdmin()
}

func (a *assembly) listenAdmin() error {
	if a.cfg.AdminListen == "off" {
		return nil
	}
	ln, err := net.Listen("tcp", a.cfg.AdminListen)
	if err != nil {
		return fmt.Errorf("listening for admin HTTP (node.admin_listen, --admin-listen or "+
			"LOCKD_ADMIN_LISTEN): %w", err)
	}
	a.admin = newPlaces(ln, adminConns)
	a.onClose(a.admin.Close)
	a.locks = &lazyClient{address: a.server.Addr().String()}
	a.onClose(a.locks.close)
	serveAdmin(a.admin, admin.NewHandler(admin.Options{
		Status:  a.node.Status,
		Failed:  a.stoppedBy,
		Samples: a.samples,
		Locks:   a.locks.get,
		Change:  a.change,
		Drain:   a.drainAside,
		Faults:  a.faults.options(),
		Build:   build(),
	}), a.failed)
	return nil
}

// change hands an operator's change to the engine and waits for its answer.
func (a *assembly) change(ctx context.Context, c placement.Change) error {
	if s := a.node.Status(); s != nil {
		if err := clashes(a.cfg.Nodes, s.Record, &c); err != nil {
			return err
		}
	}
	answer := make(chan error, 1) // the engine never waits
	a.inbox.Change(c, func(err error) { answer <- err })
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", node.ErrUncertain, ctx.Err())
	}
}

// clashes refuses an address of a node of the cluster's birth: the record, by which the
// engine goes, has no addresses of those that have never moved.
func clashes(listed []config.Node, r *placement.Record, c *placement.Change) error {
	for _, n := range listed {
		id := paxos.NodeID(n.ID)
		if r == nil || id == c.Node {
			continue
		}
		if in := r.Node(id); in == nil || in.State == placement.Gone || in.Peer != "" {
			continue
		}
		if err := c.Clash(id, n.Peer, n.Client); err != nil {
			return err
		}
	}
	return nil
}

// drainAside hands an operator's wish to drain, or to lead again, to the engine. What
// a stop does is in shutDown.
func (a *assembly) drainAside(ctx context.Context, to node.Draining) error {
	answer := make(chan error, 1) // the engine never waits
	a.inbox.Drain(to, func(err error) { answer <- err })
	select {
	case err := <-answer:
		if err == nil {
			a.log.Info("told how to drain", "draining", to == node.DrainAside)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer of the engine in time; ask again: %w", ctx.Err())
	}
}

// stuckAfter is how old the engine's last picture of itself may be. It takes
// several a second.
const stuckAfter = 5 * time.Second

// stoppedBy returns what stopped the node or keeps it from moving, nil while it
// runs.
func (a *assembly) stoppedBy() error {
	if p := a.failure.Load(); p != nil {
		return *p
	}
	s := a.node.Status()
	if s == nil {
		return nil
	}
	if age := time.Duration(bootNanos() - s.At); age > stuckAfter {
		return fmt.Errorf("the engine has not finished a turn for %v", age.Round(time.Millisecond))
	}
	return nil
}

func (a *assembly) onClose(fn func() error) { a.undo = append(a.undo, fn) }

// close closes what is open, newest first.
func (a *assembly) close() error {
	var problems []error
	for i := len(a.undo) - 1; i >= 0; i-- {
		problems = append(problems, a.undo[i]())
	}
	a.undo = nil
	return errors.Join(problems...)
}

// closeLinks does not wait for a peer that takes nothing.
func (a *assembly) closeLinks(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := a.links.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (a *assembly) stopServer(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return a.server.Stop(ctx)
}

// bootNanos is the clock of the engine.
func bootNanos() node.Nanos { return node.Nanos(disk.BootNanos()) }

func randomSeed() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}
