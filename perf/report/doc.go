// Package report turns rounds into what people and programs read: a table in
// Markdown with medians and their spread, and JSON with every round.
//
// Above any figure stand the machine, the disk's sync latency and what each
// target promises: figures of different durability are not the same figures.
package report
