package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/config"
	"lockd/lockd/verify"
	"lockd/lockd/verify/check"
	"lockd/wal/disk"
)

func verifyVerb() verb {
	return verb{
		name:  "verify",
		brief: "inject faults into a cluster and check that it keeps its word",
		help: `
Callers of this process use locks of every kind, below a prefix of their own, while
faults are injected, one at a time; what each was told, and when, is written down, and
at the end it is decided whether all of it can be true together: whether the history
is linearizable. Of each kind of fault it is shown how long it took locks away. Between
two faults the cluster has to get well: all nodes answer, every group serves. If it
does not, no other follows. No fault at all is injected into a cluster that is not well
at the start. Ctrl-C ends it early: what was done is healed, what is held is given
back, what was recorded is judged.

Faults (--faults, comma-separated, or auto, or none):
  conns         all conns of its own clients are cut
  pause-client  one of its own clients neither hears nor says anything until its lease
                is over: its locks are lost, and it must know that first
  force         some holds of its own clients are ended by force
With the admin address of some node (--admin):
  move          some groups are led by other nodes, and then by theirs again
  drain         one node gives its leaderships away
With the admin addresses of all nodes, if all have faults.allow and the secret of their
faults.secret_file is given (--faults-secret-file), to one node at a time:
  cut           its links to peers are cut; cut-in and cut-out: one way only
  slow          what it sends to peers is late by --delay
  disk          the syncs of its log stand still
  pause         it does nothing, and says nothing, for a while
  crash         it ends as by kill -9; something else must start it again
With commands of yours, each for one of them:
  exec          sh -c of --exec-fault, healed by that of --exec-heal
auto is all that can be done but crash. all-nodes among them has the faults of nodes
hit all nodes at once: then no lock is served meanwhile.

The nodes end a fault of theirs after 60 s at most, even if this command is killed with
kill -9. A move and a drain stay then: lockd cluster move, lockd cluster drain --undo.

--history writes the record down, and --check judges such a file again, without any
cluster. Its lines are described in the documents.

Exit codes: 0 no violation and the cluster is well, 1 a violation, or the cluster did
not get well, 2 the command line is wrong, 69 no cluster answers, or not all of it.`,
		begin: func(flags *flag.FlagSet) action {
			v := &verifier{}
			v.declare(flags)
			return v.run
		},
	}
}

// verifier is one call of lockd verify.
type verifier struct {
	cluster     clusterFlags
	out         format
	opts        verify.Options
	faults      string
	admin       string
	secretFile  string
	history     string
	check       string
	delay       time.Duration
	begin, heal []string // of exec
	// pages are the admin addresses, by what their nodes say; found by meet.
	pages    []page
	allNodes bool // a fault of nodes hits all at once
	turn     int  // how many faults of nodes there were
}

// page is an admin listener and the node it is of.
type page struct {
	address string
	node    int
	takes   bool // faults
}

func (v *verifier) declare(flags *flag.FlagSet) {
	v.cluster.declare(flags)
	v.out.declareFor(flags, "text", "what happened and the verdict, for people")
	o := &v.opts
	declareSpan(flags, span{to: &o.For, least: time.Second, most: 24 * time.Hour}, "for",
		time.Minute, "how `long` there is load, 1s to 24h")
	declareNumber(flags, number{to: &o.Workers, least: 2, most: verify.MaxWorkers}, "workers", 16,
		fmt.Sprintf("how `many` callers there are, 2 to %d", verify.MaxWorkers))
	declareNumber(flags, number{to: &o.Locks, least: 5, most: verify.MaxLocks}, "locks", 20,
		fmt.Sprintf("how `many` locks they share, 5 to %d", verify.MaxLocks))
	declareNumber(flags, number{to: &o.Rate, least: 1, most: verify.MaxRate}, "rate", 1000,
		"at most this `many` operations a second, half of them on locks that nobody else wants")
	declareSpan(flags, span{to: &o.Lease, least: leastLease, most: mostLease}, "lease",
		2*time.Second, "session lease of the callers, or the least that the cluster takes, 1s to 1h")
	declareSpan(flags, span{to: &o.Length, least: 100 * time.Millisecond, most: admin.MaxFault},
		"fault-length", 3*time.Second, "how `long` a fault lasts, 100ms to 1m")
	declareSpan(flags, span{to: &o.Rest, least: 100 * time.Millisecond}, "fault-rest",
		2*time.Second, "how `long` nothing is done between two faults")
	declareSpan(flags, span{to: &v.delay, least: time.Millisecond, most: admin.MaxDelay}, "delay",
		50*time.Millisecond, "how `late` frames are with slow, 1ms to 5s")
	flags.StringVar(&v.faults, "faults", "auto", "`kinds` of faults, with commas between them, "+
		"auto or none")
	flags.StringVar(&v.admin, "admin", "", "admin `addresses` of nodes, host:port with commas "+
		"between them (LOCKD_ADMIN; default: none)")
	flags.StringVar(&v.secretFile, "faults-secret-file", "", "`file` with the secret of the nodes' "+
		"faults.secret_file")
	many := func(to *[]string) func(string) error {
		return func(text string) error {
			*to = append(*to, text)
			return nil
		}
	}
	flags.Func("exec-fault", "`command` that is a fault; several times for more", many(&v.begin))
	flags.Func("exec-heal", "`command` that heals it, one for each --exec-fault in their order, or "+
		"none", many(&v.heal))
	flags.StringVar(&o.Prefix, "prefix", "lockd-verify", "`text` that all its names begin with")
	flags.StringVar(&v.history, "history", "", "`file` to write the record to")
	flags.StringVar(&v.check, "check", "", "judge the record in this `file` and do nothing else")
}

func (v *verifier) run(sh *shell, args []string) error {
	if err := needArgs(args); err != nil {
		return err
	}
	if v.check != "" {
		return v.judge(sh)
	}
	var err error
	if v.opts.Addresses, err = v.cluster.list(sh); err != nil {
		return err
	}
	if err := v.choose(sh); err != nil {
		return err
	}
	o := &v.opts
	o.Name, o.Timeout = clientName(), v.cluster.timeout
	o.Clients = min(4, o.Workers)
	o.Clock = disk.BootNanos
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return err
	}
	o.Seed = binary.LittleEndian.Uint64(seed[:])
	if err := o.Validate(); err != nil {
		return &failure{code: exitUsage, err: err}
	}
	began := time.Now()
	o.Tell = func(line string) {
		fmt.Fprintf(sh.err, "%7s  %s\n", time.Since(began).Round(100*time.Millisecond), line)
	}
	file, err := v.openHistory()
	if err != nil {
		return err
	}
	r, interrupted := v.carryOut(file)
	if r == nil {
		return errors.Join(verifyFailure(interrupted), closeFile(file))
	}
	if err := errors.Join(v.print(sh, r), closeFile(file)); err != nil {
		return err
	}
	return verdict(r, interrupted)
}

// carryOut runs until the end, or until a signal asks for it.
func (v *verifier) carryOut(file *os.File) (*verify.Report, error) {
	var p patience
	p.wait = waitsForEver
	defer p.listen(syscall.SIGINT, syscall.SIGTERM)()
	if file != nil {
		v.opts.History = file
	}
	return acquire(&p, func(ctx context.Context) (*verify.Report, error) {
		return verify.Run(ctx, v.opts)
	})
}

func (v *verifier) openHistory() (*os.File, error) {
	if v.history == "" {
		return nil, nil
	}
	file, err := os.OpenFile(v.history, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, failf(exitUsage, "--history: %w", err)
	}
	return file, nil
}

func closeFile(file *os.File) error {
	if file == nil {
		return nil
	}
	return file.Close()
}

// verifyFailure gives an error of a run that did not begin its exit code.
func verifyFailure(err error) error {
	switch {
	case errors.Is(err, verify.ErrOptions):
		return &failure{code: exitUsage, err: err}
	case errors.Is(err, verify.ErrUnhealthy):
		return &failure{code: exitUnavailable, err: err}
	default:
		return clientFailure(err)
	}
}

// verdict gives what came of a run its exit code. A violation is more than that
// somebody ended the run.
func verdict(r *verify.Report, interrupted error) error {
	var problems []string
	for _, e := range r.Faults {
		if e.Err != nil && !errors.Is(e.Err, verify.ErrUnhealthy) {
			problems = append(problems, fmt.Sprintf("fault %s: %v", e.Kind, e.Err))
		}
	}
	if r.Unwell != nil {
		problems = append(problems, r.Unwell.Error())
	}
	if r.Unwritten != nil {
		problems = append(problems, r.Unwritten.Error())
	}
	if len(r.Verdict.Undecided) > 0 {
		problems = append(problems, fmt.Sprintf("%d locks had too much under way to be judged: fewer "+
			"--workers or more --locks", len(r.Verdict.Undecided)))
	}
	switch n := len(r.Verdict.Violations); {
	case n > 0:
		return failf(exitFailure, "NOT linearizable: %d of %d locks", n, r.Verdict.Names)
	case r.Unexpected != nil:
		return failf(exitFailure, "an answer that no caller should get: %w", r.Unexpected)
	case interrupted != nil:
		return interrupted
	case problems != nil:
		return failf(exitFailure, "%s", strings.Join(problems, "; "))
	}
	return nil
}

// judge judges a file.
func (v *verifier) judge(sh *shell) error {
	file, err := os.Open(v.check)
	if err != nil {
		return failf(exitUsage, "--check: %w", err)
	}
	all, err := verify.Read(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return failf(exitUsage, "--check %s: %w", v.check, err)
	}
	r := &verify.Report{}
	began := time.Now()
	r.Verdict = check.Check(all)
	r.Checked = time.Since(began)
	r.Operations, r.Definite = r.Verdict.Operations, r.Verdict.Definite
	r.Locks = r.Verdict.Names
	if err := v.print(sh, r); err != nil {
		return err
	}
	return verdict(r, nil)
}

// choose settles which faults are injected.
func (v *verifier) choose(sh *shell) error {
	if err := v.meet(sh); err != nil {
		return err
	}
	if len(v.heal) > 0 && len(v.heal) != len(v.begin) {
		return failf(exitUsage, "%d --exec-heal for %d --exec-fault: give one for each, or none",
			len(v.heal), len(v.begin))
	}
	v.opts.Outside = map[string]verify.Fault{}
	var kinds []string
	switch v.faults {
	case "none":
	case "auto":
		kinds = v.possible()
	default:
		for kind := range strings.SplitSeq(v.faults, ",") {
			if kind = strings.TrimSpace(kind); kind == "all-nodes" {
				v.allNodes = true
			} else if kind != "" {
				kinds = append(kinds, kind)
			}
		}
	}
	for _, kind := range kinds {
		if err := v.add(sh, kind); err != nil {
			return err
		}
	}
	if len(v.pages) > 0 {
		v.opts.Home = v.home
	}
	return nil
}

// possible are the kinds that can be done, but for crash, after which somebody must
// start the node.
func (v *verifier) possible() []string {
	kinds := []string{verify.KindConns, verify.KindPause, verify.KindForce}
	if len(v.pages) > 0 {
		kinds = append(kinds, kindMove, kindDrain)
	}
	if v.refusal() == nil {
		for _, kind := range admin.FaultKinds() {
			if kind != admin.FaultCrash {
				kinds = append(kinds, kind)
			}
		}
	}
	if len(v.begin) > 0 {
		kinds = append(kinds, kindExec)
	}
	return kinds
}

// add adds one kind, or says what it lacks.
func (v *verifier) add(sh *shell, kind string) error {
	known := []string{"auto", "none", verify.KindConns, verify.KindPause, verify.KindForce, kindMove,
		kindDrain, kindExec, "all-nodes"}
	switch {
	case kind == verify.KindConns, kind == verify.KindPause, kind == verify.KindForce:
		v.opts.Faults = append(v.opts.Faults, kind)
		return nil
	case kind == kindExec && len(v.begin) == 0:
		return failf(exitUsage, "--faults %s: there is no --exec-fault", kind)
	case kind == kindExec:
		for i := range v.begin {
			f := &execFault{shell: sh, begin: v.begin[i]}
			if len(v.heal) > 0 {
				f.heal = v.heal[i]
			}
			v.put(execName(i, len(v.begin)), f)
		}
		return nil
	case kind == kindMove || kind == kindDrain:
		if len(v.pages) == 0 {
			return failf(exitUsage, "--faults %s: --admin is missing, the admin address of a node", kind)
		}
		if kind == kindMove {
			v.put(kind, &moveFault{address: v.pages[0].address})
		} else {
			v.put(kind, &drainFault{pages: v.pages})
		}
		return nil
	case slices.Contains(admin.FaultKinds(), kind):
		if err := v.refusal(); err != nil {
			return failf(exitUsage, "--faults %s: %w", kind, err)
		}
		f, err := v.nodeFault(kind)
		if err != nil {
			return err
		}
		v.put(kind, f)
		return nil
	}
	known = append(known, admin.FaultKinds()...)
	if near := config.Nearest(kind, known); near != "" {
		return failf(exitUsage, "--faults: unknown fault %q; did you mean %q?", kind, near)
	}
	return failf(exitUsage, "--faults: unknown fault %q; there is %s", kind, orList(known))
}

func (v *verifier) put(kind string, f verify.Fault) {
	v.opts.Faults = append(v.opts.Faults, kind)
	v.opts.Outside[kind] = f
}
