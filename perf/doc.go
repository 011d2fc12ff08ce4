// Perf measures lock services side by side: lockd, Redis in several shapes,
// RedLock, etcd, ZooKeeper, and a bare echo and a bare disk as the floors. It
// starts and stops the servers itself, as real processes on loopback in
// temporary directories, and needs Linux, a lockd binary (make build) and the
// other servers:
//
//	apt-get install redis-server etcd-server zookeeper
//
// installs what was measured with (Debian 12: Redis 7.0.15, etcd 3.4.23,
// ZooKeeper 3.8.0). Debian starts some of them; perf does not use those, so stop
// them: systemctl disable --now redis-server etcd. Binaries elsewhere are named
// with --redis-server, --etcd and --zookeeper (a jar, or the directory of an
// unpacked release; java must be on PATH). A target without its program is said
// to be missing and left out, and is an error if it was the only one.
//
//	make perf                                what the README's table comes from
//	perf run --target lockd,redis,redis-go --workload uncontended \
//	    --workers 1,20,80,320 --duration 5s --rounds 3 --markdown out.md
//	perf run --workload contended --workers 150,1500 --keys 15
//	perf run --workload async --target lockd --workers 1000,16000
//	perf run --workload handoff
//	perf run --workload failover --target lockd --trials 100
//	perf run --workload open --rate 10000 --workers 512
//	perf run --target lockd --profile profiles
//
// Every round measures each load on each target in turn, so that whatever else
// the machine does falls on all alike; the table gives medians and the spread of
// the throughput. All targets run throughout, idle while it is not their turn.
// The load runs in this one process and shares the machine with the servers:
// ratios within one run mean something, absolute figures of two machines do not.
//
// What to believe: figures of different durability are not the same figures,
// which is why the table of promises comes first; the CPU columns tell whether
// the client or the server was the limit; "rest of the machine" and "stolen"
// above a few hundredths of a core mean that the run should be repeated.
//
// Perf is a module of its own, so that the clients it measures with never enter
// the daemon's go.sum.
package main
