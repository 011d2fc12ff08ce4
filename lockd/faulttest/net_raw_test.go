package faulttest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"lockd/netio/wire"
)

// rawConn is a conn of a client that does as it likes.
//
//lint:ignore U1000 tests with the fault tag use it
type rawConn struct {
	*net.TCPConn
	requests uint64
}

// dialRaw connects to the client port of a node, and greets it.
//
//lint:ignore U1000 tests with the fault tag use it
func dialRaw(t *testing.T, address string) *rawConn {
	t.Helper()
	r := dialSilent(t, address)
	r.send(t, hello())
	if h, _ := r.next(t); h.Kind != wire.KindWelcome {
		t.Fatalf("got %v, want a welcome", h.Kind)
	}
	return r
}

// dialSilent connects and says nothing. It is closed at the test's end.
//
//lint:ignore U1000 tests with the fault tag use it
func dialSilent(t *testing.T, address string) *rawConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &rawConn{TCPConn: conn.(*net.TCPConn)}
	r.patience(t, 20*time.Second)
	return r
}

// patience bounds all that follows.
//
//lint:ignore U1000 tests with the fault tag use it
func (r *rawConn) patience(t *testing.T, d time.Duration) {
	t.Helper()
	if err := r.SetDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
}

//lint:ignore U1000 tests with the fault tag use it
func (r *rawConn) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := r.Write(b); err != nil {
		t.Fatal(err)
	}
}

// header is that of a new request to a group.
//
//lint:ignore U1000 tests with the fault tag use it
func (r *rawConn) header(group uint16) wire.Header {
	r.requests++
	return wire.Header{Group: group, Request: r.requests}
}

// next reads one frame.
//
//lint:ignore U1000 tests with the fault tag use it
func (r *rawConn) next(t *testing.T) (wire.Header, []byte) {
	t.Helper()
	h, body, err := r.frame()
	if err != nil {
		t.Fatal(err)
	}
	return h, body
}

//lint:ignore U1000 tests with the fault tag use it
func (r *rawConn) frame() (wire.Header, []byte, error) {
	frame := make([]byte, 4, 256)
	if _, err := io.ReadFull(r, frame); err != nil {
		return wire.Header{}, nil, err
	}
	length := binary.LittleEndian.Uint32(frame)
	if length > wire.MaxFrameBytes {
		return wire.Header{}, nil, fmt.Errorf("a frame of %d bytes", length)
	}
	frame = append(frame, make([]byte, length)...)
	if _, err := io.ReadFull(r, frame[4:]); err != nil {
		return wire.Header{}, nil, err
	}
	return wire.Parse(frame)
}

// response reads up to the response to a request.
//
//lint:ignore U1000 tests with the fault tag use it
func (r *rawConn) response(t *testing.T, request uint64) wire.Response {
	t.Helper()
	for {
		h, body := r.next(t)
		if h.Kind != wire.KindResponse || h.Request != request {
			continue
		}
		x, err := wire.DecodeResponse(body)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

// ended waits until the node has closed the conn.
//
//lint:ignore U1000 tests with the fault tag use it
func (r *rawConn) ended(limit time.Duration) error {
	if err := r.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, r)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		return fmt.Errorf("still open after %v", limit)
	}
	return nil
}
