// Package report turns rounds into what people and programs read: a table in
// Markdown with medians and their spread, pictures, and JSON with every round.
//
// Above any figure stand the machine, the disk's sync latency and what each
// target promises: figures of different durability are not the same figures, and
// a ratio of two that promise different things has a mark. Two reports are
// compared only if machine, disk and settings are alike; otherwise the
// comparison names what is not.
//
// The JSON has "format" 1 and, in order: "version" and "command", what was run;
// "machine"; "targets" with "name", "durability", "server", "client", "flags";
// "missing" targets and "unfit" loads with their "reason"; "baseline"; and "cells",
// one a line: "target", "load" (all that package workload's Load says), "rounds".
// A round has "pairs_per_second", the latencies "pair" and "lock" ("count",
// "mean_ns", "p50_ns", "p99_ns", "p999_ns", "max_ns"), "errors", "first_error",
// "elapsed_ns", "broken" if it ended before its time, the CPU time of the load,
// of each server, of others and what the host took ("client_cpu_ns", "servers",
// "other_cpu_ns", "steal_ns"), and where the load has them "figures" ("name",
// "value", "unit") and "timeline" ("bucket_ns", "before_ns", "pairs"). A
// summary has one round a cell, all of medians, "rate" of the throughput in all
// rounds and how many there were, "summed". Fields are added, never changed;
// what changes a meaning raises "format".
package report
