// Package faulttest runs real clusters of real lockd processes on loopback and
// harms them: it kills, pauses and restarts nodes, wipes directories and sends
// garbage to ports, while clients lock and unlock and a checker watches.
//
// Cluster and Node start and stop processes. Load is the clients: each worker
// takes one of a few names, checks what a lock promises, and gives it back.
// What it checks, it checks from outside, by what clients were told:
//
//	one holder  a grant while another hold of the name is still valid fails
//	token       a grant with a token that is not above every earlier one fails
//	no loss     a hold of an undisturbed client is still there after a fault,
//	            with its token, and who waited for it still waits
//
// A Probe measures what a client notices: how long each group keeps it waiting.
//
// A Proxied cluster has a Mesh of proxies (package proxy) between its nodes and
// before them, which cut, delay and harm what is said frame by frame; Spaces put
// each node into a network namespace and drop packets between them; an Image is
// a file system whose power can be cut. Soak draws one fault after the other
// from all of these, and Gaps measures what clients notice of a few.
//
// Package history and package witness judge what clients saw of a whole run: the
// first searches an order that explains it, blind to the log, the second holds
// it against the slots that answers name.
//
// Tests are named after the row of the fault matrix they show. Those that take
// long have the build tag fault; make fault runs them.
//
// The package is for tests and for the demo; it imports nothing of the daemon
// but its wire format and its client.
package faulttest
