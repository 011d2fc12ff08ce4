// Package client is the Go client of lockd. It imports the standard library and
// lockd/netio/wire, nothing else.
package client
