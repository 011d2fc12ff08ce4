package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"lockd/lockfsm"
	"lockd/lockfsm/checkpoint"
)

const (
	benchGroups = 64
	// benchSaves is in how many checkpoints the state of a group comes together.
	benchSaves = 4
	// A tenth as many sessions as locks hold them.
	benchPerSession = 10
)

// benchLocks is how many locks the restart of a benchmark finds.
func benchLocks(b *testing.B) int {
	text := os.Getenv("LOCKD_RESTART_LOCKS")
	if text == "" {
		return 1_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < benchGroups*benchSaves {
		b.Fatalf("LOCKD_RESTART_LOCKS: got %q, want a number", text)
	}
	return n
}

func benchOptions(b *testing.B) checkpoint.Options {
	return checkpoint.Options{
		Fatal:  func(err error) { panic(err) },
		Report: func(r checkpoint.Report) { b.Errorf("report: %v %v", r.Kind, r.Err) },
	}
}

// benchLimits are wide enough for any share of benchLocks.
func benchLimits() lockfsm.Limits {
	l := lockfsm.DefaultLimits()
	l.Locks, l.Claims, l.ClaimsPerSession, l.Sessions = 1<<24, 1<<24, 1<<20, 1<<22
	return l
}

// grow has a machine open sessions and take locks with them. The names are those
// of `make scale`, and spread over the groups as a hash spreads them.
func grow(b *testing.B, m *lockfsm.Machine, group, locks int) {
	b.Helper()
	var out lockfsm.Outcome
	var batch lockfsm.BatchBuilder
	apply := func() {
		if err := m.Apply(m.Applied()+1, batch.Bytes(), &out); err != nil {
			b.Fatal(err)
		}
		batch.Reset()
	}
	for locks > 0 {
		var nonce lockfsm.Nonce
		binary.LittleEndian.PutUint64(nonce[:], m.Applied())
		batch.Append(&lockfsm.Command{Op: lockfsm.OpOpenSession, Lease: 10_000, Nonce: nonce})
		apply()
		session := out.Results[0].Session
		for i := range min(locks, benchPerSession) {
			number := (uint64(session)*benchPerSession+uint64(i))*benchGroups + uint64(group)
			number = number * 0x9e3779b97f4a7c15 >> 37
			batch.Append(&lockfsm.Command{Op: lockfsm.OpAcquire, Session: session,
				Request: lockfsm.RequestID(i + 1), Mode: lockfsm.ModeEX,
				Name: fmt.Appendf(nil, "tenant-0/orders/%08d", number)})
		}
		apply()
		locks -= benchPerSession
	}
}

// benchDirectory makes a store with so many locks, in several saves per group.
func benchDirectory(b *testing.B, locks int) string {
	b.Helper()
	dir := b.TempDir()
	store, err := checkpoint.Open(dir, benchOptions(b))
	if err != nil {
		b.Fatal(err)
	}
	var machines [benchGroups]*lockfsm.Machine
	for range benchSaves {
		for g := range machines {
			if machines[g] == nil {
				if machines[g], err = lockfsm.New(benchLimits()); err != nil {
					b.Fatal(err)
				}
			}
			m := machines[g]
			grow(b, m, g, locks/benchGroups/benchSaves)
			var changed checkpoint.Batch
			m.Dirty(func(key, value []byte) {
				if m.AddsRecord() {
					changed.Add(key, value)
					return
				}
				changed.Set(key, value)
			})
			if err := store.Save(uint16(g), m.Applied(), &changed); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkRestart reads the checkpoints of all groups of a node back, with as
// many locks in them as LOCKD_RESTART_LOCKS says.
func BenchmarkRestart(b *testing.B) {
	locks := benchLocks(b)
	dir := benchDirectory(b, locks)
	spent := processorTime(b)
	for b.Loop() {
		store, err := checkpoint.Open(dir, benchOptions(b))
		if err != nil {
			b.Fatal(err)
		}
		machines, err := loadMachines(store, store.Groups(), benchLimits())
		if err != nil {
			b.Fatal(err)
		}
		if got := len(machines); got != benchGroups {
			b.Fatalf("got %d machines, want %d", got, benchGroups)
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
	spent = processorTime(b) - spent
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*locks), "ns/lock")
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*locks), "cpu-ns/lock")
}

// processorTime is what the process has used so far, of itself and in the kernel.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
