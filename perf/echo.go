package main

import (
	"context"
	"fmt"
	"net"
)

// echoReadBytes is how much one read may take: a whole batch of a client.
const echoReadBytes = 256 << 10

// serveEcho sends back whatever comes until ctx ends.
func serveEcho(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve echo: %w", err)
	}
	serveConns(ctx, listener, echo)
	return nil
}

// echo answers one connection until it ends.
func echo(conn net.Conn) {
	buffer := make([]byte, echoReadBytes)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}
