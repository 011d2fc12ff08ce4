package faulttest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockd/netio/wire"
)

// TestPermission proves, on the real binary, that a refusal for want of permission ends
// each verb with the code that is kept for that, says so, and that no command is run. No
// node refuses so yet: it is one that speaks the protocol and permits nobody anything.
func TestPermission(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			sock, err := listener.Accept()
			if err != nil {
				return // the test is over
			}
			go func() {
				defer sock.Close()
				if err := permitNothing(sock); err != nil {
					t.Errorf("node that permits nothing: %v", err)
				}
			}()
		}
	}()
	mark := filepath.Join(t.TempDir(), "ran")
	for _, args := range [][]string{
		{"run", "x", "--", "touch", mark},
		{"run", "-n", "x", "--", "touch", mark},
		{"run", "-w", "5s", "x", "--", "touch", mark},
		{"run", "--also", "y", "x", "--", "touch", mark},
		{"run", "--permits", "1/2", "x", "--", "touch", mark},
		{"election", "run", "x", "--", "touch", mark},
		{"lock", "x"},
		{"try", "x"},
		{"renew", "x", "--token", "7", "--session", "9223372036854775809"},
		{"release", "x", "--token", "7", "--session", "9223372036854775809"},
		{"release", "x", "--force", "--token", "7", "--reason", "test"},
		{"get", "x"},
		{"ls"},
		{"why", "x"},
		{"waiters", "x"},
	} {
		words := 1
		if args[0] == "election" {
			words = 2
		}
		all := append(append(append([]string{}, args[:words]...), "--addr",
			listener.Addr().String()), args[words:]...)
		code, out := lockd(t, all...)
		if code != 77 || !strings.Contains(out, "permission denied") {
			t.Errorf("lockd %s: got exit code %d and %q, want 77 and why", strings.Join(args, " "), code,
				out)
		}
	}
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a command was run: %v", err)
	}
}

// permitNothing is a node of one group that opens sessions and refuses all else.
func permitNothing(sock net.Conn) error {
	in := bufio.NewReader(sock)
	for {
		length, err := in.Peek(4)
		if err != nil {
			return nil // the client is done, or has died
		}
		frame := make([]byte, 4+binary.LittleEndian.Uint32(length))
		if _, err := io.ReadFull(in, frame); err != nil {
			return nil
		}
		h, body, err := wire.Parse(frame)
		if err != nil {
			return err
		}
		answer := wire.Header{Group: h.Group, Request: h.Request}
		var out []byte
		switch h.Kind {
		case wire.KindHello:
			limits := wire.DefaultLimits()
			limits.MinHoldMillis, limits.MaxHoldMillis, limits.DataBytes = 100, 86_400_000, 1<<20
			out = wire.AppendWelcome(nil, answer, &wire.Welcome{Version: wire.Version, Node: 1,
				Cluster: 1, Limits: limits, Leaders: []uint16{1},
				Nodes: []wire.Node{{ID: 1, Address: []byte(sock.LocalAddr().String())}}})
		case wire.KindOpenSession:
			out = wire.AppendResponse(nil, answer, &wire.Response{Status: wire.StatusOK, Token: 1,
				Slot: 1})
		case wire.KindCloseSession:
			out = wire.AppendResponse(nil, answer, &wire.Response{Status: wire.StatusOK, Slot: 2})
		case wire.KindKeepalive:
			k, err := wire.DecodeKeepalive(body)
			if err != nil {
				return err
			}
			var renewed []wire.Renewal
			for i := range k.Len() {
				s := k.At(i)
				renewed = append(renewed, wire.Renewal{Session: s.Session, Group: s.Group})
			}
			out = wire.AppendKeepaliveAck(nil, answer, renewed)
		default:
			out = wire.AppendResponse(nil, answer, &wire.Response{Status: wire.StatusPermission, Slot: 3})
		}
		if _, err := sock.Write(out); err != nil {
			return nil
		}
	}
}
