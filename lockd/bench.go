package main

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"strconv"
	"sync"
	"syscall"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
)

func benchVerb() verb {
	return verb{
		name:  "bench",
		brief: "measure how fast a cluster locks and unlocks",
		help: `
Workers of this one process each take a lock that nobody else wants and give it back,
again and again: what is counted is whole pairs, each of which a majority of nodes has
synced twice. So it measures the cluster, its disks and the way there, not contention
and not what many processes get together. Times are those that a caller waits, exact to
3 %. It locks each name once before it counts, uses names of its own under --prefix,
and leaves nothing held; the cluster carries the load beside that of others.`,
		begin: func(flags *flag.FlagSet) action {
			b := &bench{}
			b.cluster.declare(flags)
			b.out.declare(flags)
			declareNumber(flags, number{to: &b.workers, least: 1, most: 4096}, "workers", 8,
				"how `many` wait for an answer at a time, 1 to 4096")
			declareSpan(flags, span{to: &b.duration, least: 100 * time.Millisecond, most: time.Hour},
				"duration", 5*time.Second, "how `long` to measure, 100ms to 1h")
			flags.StringVar(&b.prefix, "prefix", "lockd-bench/", "`text` that all its names begin with")
			return b.run
		},
	}
}

// namesPerWorker spread the load of each worker over groups.
const namesPerWorker = 16

// bench is one call of lockd bench.
type bench struct {
	cluster  clusterFlags
	out      format
	workers  int
	duration time.Duration
	prefix   string
	far      *progress // of the first worker alone

	mu struct {
		sync.Mutex
		lock, unlock, pair times
		err                error
	}
}

func (b *bench) run(sh *shell, args []string) error {
	if err := needArgs(args); err != nil {
		return err
	}
	var id [6]byte
	if _, err := crand.Read(id[:]); err != nil {
		return err
	}
	b.prefix += hex.EncodeToString(id[:]) + "/"
	b.far = newProgress(sh)
	var p patience
	p.wait = waitsForEver
	defer p.listen(syscall.SIGINT, syscall.SIGTERM)()
	c, err := b.cluster.dial(context.Background(), sh, client.Options{Name: clientName()})
	if err != nil {
		return err
	}
	defer b.close(c)
	took, interrupted := acquire(&p, func(ctx context.Context) (time.Duration, error) {
		sideBySide(b.workers, b.workers, func(i int) { b.work(ctx, c, i, time.Time{}) })
		if b.failed() {
			return 0, context.Cause(ctx)
		}
		b.mu.lock, b.mu.unlock, b.mu.pair = times{}, times{}, times{}
		began := time.Now()
		sideBySide(b.workers, b.workers, func(i int) {
			b.work(ctx, c, i, began.Add(b.duration))
		})
		return time.Since(began), context.Cause(ctx)
	})
	if took > 0 {
		if err := b.print(sh, took); err != nil {
			return err
		}
	}
	return errors.Join(interrupted, clientFailure(b.mu.err))
}

// close ends the client. Its sessions end with it, and so does what they may hold.
func (b *bench) close(c *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), b.cluster.timeout)
	defer cancel()
	_ = c.Close(ctx) // every lock was given back
}

// work locks and unlocks the names of one worker, in turn, until a moment, an error
// of anybody, or the end of ctx. The zero moment is once round.
func (b *bench) work(ctx context.Context, c *client.Client, worker int, until time.Time) {
	var lock, unlock, pair times
	defer func() { b.add(&lock, &unlock, &pair) }()
	for i := 0; ctx.Err() == nil; i++ {
		began := time.Now()
		if until.IsZero() && i == namesPerWorker || !until.IsZero() && !began.Before(until) {
			return
		}
		if worker == 0 && !until.IsZero() && b.far.due(began) {
			b.far.say("measuring for another " + until.Sub(began).Round(time.Second).String())
		}
		name := b.prefix + strconv.Itoa(worker*namesPerWorker+i%namesPerWorker)
		bounded, cancel := context.WithTimeoutCause(ctx, b.cluster.timeout,
			fmt.Errorf("%w: lock %q after %s", client.ErrUnavailable, name, spanText(b.cluster.timeout)))
		h, err := c.Lock(bounded, name)
		cancel()
		locked := time.Now()
		if err == nil {
			err = h.Unlock(context.WithoutCancel(ctx))
		}
		if err != nil {
			b.fail(ctx, err)
			return
		}
		ended := time.Now()
		lock.add(locked.Sub(began))
		unlock.add(ended.Sub(locked))
		pair.add(ended.Sub(began))
		if b.failed() {
			return
		}
	}
}

func (b *bench) add(lock, unlock, pair *times) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.lock.merge(lock)
	b.mu.unlock.merge(unlock)
	b.mu.pair.merge(pair)
}

// fail keeps the first error, unless it is that somebody wants the end.
func (b *bench) fail(ctx context.Context, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.err == nil && ctx.Err() == nil {
		b.mu.err = err
	}
}

func (b *bench) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.err != nil
}

// print says what was measured. Requires: no worker runs.
func (b *bench) print(sh *shell, took time.Duration) error {
	rows := []admin.BenchRow{b.mu.lock.row("lock"), b.mu.unlock.row("unlock"), b.mu.pair.row("pair")}
	if b.out == "json" {
		_, err := sh.out.Write(admin.AppendBench(nil, b.workers, took, rows))
		return err
	}
	perSecond := strconv.FormatFloat(float64(b.mu.pair.count)/took.Seconds(), 'f', 0, 64)
	if _, err := fmt.Fprintf(sh.err, "%s pairs a second: %d workers of one process, %d locks that "+
		"nobody else wanted, %s\n", perSecond, b.workers, b.workers*namesPerWorker,
		took.Round(time.Millisecond)); err != nil {
		return err
	}
	t := &table{header: []string{"WHAT", "COUNT", "PER SECOND", "P50", "P99", "MAX"}}
	for _, r := range rows {
		t.add(r.What, strconv.Itoa(r.Count), perSecond, waitText(r.P50), waitText(r.P99),
			waitText(r.Max))
	}
	return t.print(sh)
}

// waitText rounds to what was measured.
func waitText(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 100*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}

// timeSteps is into how many steps each doubling of a time is cut.
const timeSteps = 32

// times counts lengths of time, each to one part in timeSteps. The zero value is empty.
type times struct {
	count   int
	longest time.Duration
	steps   [40 * timeSteps]int
}

// add counts one. Requires: d is not negative.
func (t *times) add(d time.Duration) {
	t.count++
	t.longest = max(t.longest, d)
	t.steps[min(stepOf(uint64(d)), len(t.steps)-1)]++
}

// stepOf finds the step of a number: those below timeSteps have one each.
func stepOf(n uint64) int {
	shift := max(0, bits.Len64(n)-bits.Len64(timeSteps))
	return shift*timeSteps + int(n>>shift)
}

// endOf is the largest number of a step.
func endOf(step int) uint64 {
	shift := max(0, step/timeSteps-1)
	return uint64(step-shift*timeSteps+1)<<shift - 1
}

func (t *times) merge(u *times) {
	t.count += u.count
	t.longest = max(t.longest, u.longest)
	for i, n := range u.steps {
		t.steps[i] += n
	}
}

// below is the least length that a share of them, in thousandths, does not pass.
func (t *times) below(thousandths int) time.Duration {
	left := (t.count*thousandths + 999) / 1000
	for i, n := range t.steps {
		if left -= n; left <= 0 && n > 0 {
			return min(time.Duration(endOf(i)), t.longest)
		}
	}
	return t.longest
}

func (t *times) row(what string) admin.BenchRow {
	return admin.BenchRow{What: what, Count: t.count, P50: t.below(500), P99: t.below(990),
		Max: t.longest}
}
