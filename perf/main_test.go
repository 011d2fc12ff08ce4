package main

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// A server that was killed must not end the run: writing to it raises SIGPIPE.
func TestKilledServerEndsNothing(t *testing.T) {
	ctx, stop := untilInterrupted()
	defer stop()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server.(*net.TCPConn).SetLinger(0)
	server.Close()
	deadline := time.Now().Add(10 * time.Second)
	for !errors.Is(err, syscall.EPIPE) {
		if time.Now().After(deadline) {
			t.Fatalf("got %v of writing, want a broken pipe", err)
		}
		_, err = conn.Write([]byte("x"))
	}
	select {
	case <-ctx.Done():
		t.Error("the run was ended")
	case <-time.After(100 * time.Millisecond):
	}
}
