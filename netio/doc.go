// Package netio owns the sockets of a node.
package netio
