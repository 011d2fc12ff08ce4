// Package fence keeps what a lock guards safe from a holder that does not know
// that it is none any more: one that was paused, cut off, or whose request was
// under way for too long. It imports the standard library and nothing else; a
// *client.Held is a Hold as it is.
//
// # The rule
//
// Every grant has a token, and a later grant of the same name a larger one. What
// the lock guards remembers the largest token it has seen of the name, refuses
// whoever shows a smaller one, and lets whoever shows an equal or a larger one
// write. That is safe whatever happens to clocks, networks and processes, and
// needs no word from the lock service. It takes two things, and the guards of
// this package are about nothing else:
//
//   - The check, the raising of what is remembered and the write are one step:
//     nobody who shows a larger token comes in between.
//   - What is remembered is as durable as what is written: a write that
//     survives a crash and a token that does not let an older writer in.
//
// # The guards
//
//	SQL         a table beside the data: SQL.Check and SQL.Do raise the token in
//	            the transaction that writes. SQL.Guard is for what is written
//	            elsewhere: it raises the token durably before, and holds its row
//	            meanwhile.
//	Memory      for what a process keeps to itself, and forgets together with the
//	            tokens.
//	Middleware  in front of HTTP handlers: over a Store, which SQL and Memory are.
//	Transport   on the side of the one who holds: adds names and tokens to requests.
//
// A guard of your own, for an object store, a queue, a device, is proved by
// package fencetest.
//
// # What it costs
//
// One row, or one entry, for each name that was ever guarded: to forget a name
// is to let its oldest writer in again. A row may go when nobody can still have a
// hold from before, which only the one who knows the writers can say.
package fence
