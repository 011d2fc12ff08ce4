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
//	make perf                     all of it, in about 45 minutes; BUDGET=90m takes
//	                              longer for more, and rewrites performance.md
//	make perf-smoke               a minute: lockd, Redis, the published figures
//	perf publish --json results/run.json    publish what was measured earlier
//	perf run --target lockd,redis,redis-go --workload uncontended \
//	    --workers 1,20,80,320 --duration 5s --rounds 3 --markdown out.md
//	perf run --workload contended --workers 150,1500 --keys 15 --hold 0,50ms
//	perf run --workload async --target lockd --workers 1000,16000
//	perf run --workload readwrite,semaphore --target lockd --workers 80
//	perf run --workload handoff
//	perf run --workload crowd --target lockd,etcd --count 1000 --duration 20s
//	perf run --workload failover --target lockd,etcd,zookeeper --trials 100
//	perf run --workload open --rate 1000,10000 --workers 512
//	perf run --workload uncontended --workers 2000 --clients 4
//	perf run --target lockd --workers 320 --held 1000,1000000 \
//	    --lockd-flags '--limit-memory 3GiB --memory 16GiB'
//	perf run --target lockd --workers 320 --payload 0,100,4096
//	perf run --workload keepalive,memory,restart --target lockd,etcd --count 5000
//	perf run --target lockd --profile profiles
//
// Every round measures each load on each target in turn, so that whatever else
// the machine does falls on all alike; the table gives medians and the spread of
// the throughput. The targets of a step run throughout, idle while it is not their
// turn; targets with the same servers share them. What looks at memory or at a
// restart has servers of its own. The load runs in this one process, or in
// --clients processes, and shares the machine with the servers: ratios within one
// run mean something, absolute figures of two machines do not. A load that makes
// no sense for a target is not run, and the report says why.
//
// A run is written as JSON (package report tells the form), as Markdown and as
// pictures. perf all stands in for many runs: it says beforehand how long it
// takes, keeps everything in results/, and rewrites the marked part of
// performance.md, the pictures and the figures beside it only if it came to its
// end and others took less than a quarter of a core meanwhile.
//
// What to believe: figures of different durability are not the same figures,
// which is why the table of promises comes first; the CPU columns tell whether
// the client or the server was the limit; "rest of the machine" and "stolen"
// above a few hundredths of a core mean that the run should be repeated.
//
// Perf is a module of its own, so that the clients it measures with never enter
// the daemon's go.sum.
package main
