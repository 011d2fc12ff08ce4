package main

import (
	"errors"
	"net"
	"testing"
	"time"
)

// Conns beyond the bound wait until one of those before has ended; Close ends the
// waiting for a place too.
func TestListenerHasPlaces(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newPlaces(inner, 2)
	type accepted struct {
		conn net.Conn
		err  error
	}
	got, next := make(chan accepted), make(chan struct{})
	go func() {
		for range next {
			conn, err := p.Accept()
			got <- accepted{conn, err}
		}
	}()
	defer close(next)
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	var first net.Conn
	for range 2 {
		next <- struct{}{}
		if a := <-got; a.err != nil {
			t.Fatal(a.err)
		} else {
			first = a.conn
		}
	}
	next <- struct{}{}
	select {
	case <-got:
		t.Fatal("a third conn was accepted beside two")
	case <-time.After(50 * time.Millisecond):
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_ = first.Close() // gives back no second place
	if a := <-got; a.err != nil {
		t.Fatal(a.err)
	}
	next <- struct{}{}
	select {
	case <-got:
		t.Fatal("accepted without a place")
	case <-time.After(50 * time.Millisecond):
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if a := <-got; !errors.Is(a.err, net.ErrClosed) {
		t.Errorf("got %v after Close, want net.ErrClosed", a.err)
	}
}
