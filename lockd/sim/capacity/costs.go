package main

// Costs are what the work of a node and of a client takes. Times are those of
// one core unless they are waits.
type Costs struct {
	// Turn is what a turn costs by itself: a wake-up and the scheduler.
	Turn Time
	// Request is a frame of a client with its answer: decoded, admitted,
	// proposed, answered.
	Request Time
	// Command is a command applied by one machine.
	Command Time
	// Message is a message of a replica, at the end that sends and at the one
	// that takes it; Record is one given to the log.
	Message, Record Time
	// Write is for what goes out on one conn or link at once, Read for what came
	// on one between two turns, and Packet for every further packet of it.
	Read, Write, Packet Time
	// KiB is what each 1024 bytes cost that are read, written or logged.
	KiB Time
	// Sync is the processor's part of a sync; SyncWait is how long the disk
	// takes besides.
	Sync, SyncWait Time
	// Wake is the wait until an idle core runs.
	Wake Time
	// Answer is what a client spends on one answer and what it leads to.
	Answer Time
	// Latency is the way from one machine to another, BytesPerSecond what the
	// network card of a node sends.
	Latency        Time
	BytesPerSecond int64
}

// Measured returns what lockd/doc/performance.md measured; lockd/doc/scaling.md
// derives each figure from there and says which two are assumed.
func Measured() Costs {
	return Costs{
		// What is missing to 37.8 µs per pair at 320 workers when all else is
		// charged for: context switches.
		Turn: 24 * microsecond,
		// User code is 3 µs per command and replica; the machine is 0.5 of it.
		Request: 2700,
		Command: 800,
		// With 3 groups a pair costs 8 µs less than with 64, whose slots carry
		// 2.4 commands: a slot is 10 µs, about a dozen messages and records.
		Message: 800,
		Record:  800,
		// A small write is 15 to 20 µs, its receiver's half included.
		Read:   8500,
		Write:  8500,
		Packet: 2 * microsecond,
		KiB:    1 * microsecond,
		// A sync is 237 µs with one writer, 100 of them on the processor.
		Sync:     100 * microsecond,
		SyncWait: 137 * microsecond,
		// Six wake-ups are in a commit of 0.8 ms.
		Wake: 60 * microsecond,
		// The client spends 12.26 µs per pair, that is two answers.
		Answer: 6130,
		// The machine that was measured has no network: assumed.
		Latency:        50 * microsecond,
		BytesPerSecond: 1_250_000_000,
	}
}

// Slowed returns costs of machines that are so many times slower in everything:
// the same picture with fewer events.
func (c Costs) Slowed(times int64) Costs {
	for _, t := range []*Time{&c.Turn, &c.Request, &c.Command, &c.Message, &c.Record, &c.Read,
		&c.Write, &c.Packet, &c.KiB, &c.Sync, &c.SyncWait, &c.Wake, &c.Answer, &c.Latency} {
		*t *= Time(times)
	}
	c.BytesPerSecond /= times
	return c
}

// work is what a turn had to do.
type work struct {
	requests, commands, messages, records, reads, writes, packets, bytes uint64
}

// of returns what a turn with so much work takes.
func (c *Costs) of(w *work) Time {
	return c.Turn + Time(w.requests)*c.Request + Time(w.commands)*c.Command +
		Time(w.messages)*c.Message + Time(w.records)*c.Record + Time(w.reads)*c.Read +
		Time(w.writes)*c.Write + Time(w.packets)*c.Packet +
		Time(w.bytes)*c.KiB/1024
}

// wire returns how long the network card of a node is busy with so many bytes.
func (c *Costs) wire(bytes int) Time {
	return Time(int64(bytes) * int64(second) / c.BytesPerSecond)
}
