package faulttest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockd/netio/wire"
)

// act runs one conn of an attack. A conn that is refused or closed comes again,
// as long as the attack lasts.
func act(ctx context.Context, address string, number int, a attack, seen *statusCount) {
	for ctx.Err() == nil {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		a.act(ctx, &attacker{Conn: conn, number: number, seen: seen})
		stop()
		_ = conn.Close()
		pause(ctx, 20*time.Millisecond)
	}
}

// greet says hello and reads who leads what.
func (a *attacker) greet() bool {
	if _, err := a.Write(hello()); err != nil {
		return false
	}
	h, body, err := readFrame(a)
	if err != nil || h.Kind != wire.KindWelcome {
		return false
	}
	w, err := wire.DecodeWelcome(body)
	if err != nil {
		return false
	}
	a.leaders, a.node = slices.Clone(w.Leaders), w.Node
	return true
}

// readFrame reads one frame of a client conn.
func readFrame(r io.Reader) (wire.Header, []byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return wire.Header{}, nil, err
	}
	size, err := wire.FrameBytes(head, wire.MaxFrameBytes)
	if err != nil {
		return wire.Header{}, nil, err
	}
	frame := append(head, make([]byte, size-4)...)
	if _, err := io.ReadFull(r, frame[4:]); err != nil {
		return wire.Header{}, nil, err
	}
	return wire.Parse(frame)
}

// head is the header of the next request for a group.
func (a *attacker) head(group uint16) wire.Header {
	a.request++
	return wire.Header{Group: group, Request: a.request}
}

// led returns a group that the conn's node leads.
func (a *attacker) led() uint16 {
	for g, leader := range a.leaders {
		if leader == a.node {
			return uint16(g)
		}
	}
	return 0
}

// attackName returns the k-th name with a prefix that belongs to a group.
func attackName(group uint16, prefix string, k int) []byte {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s/%d/%d", prefix, k, i)
		if wire.GroupOf("", name, groups) == group {
			return []byte(name)
		}
	}
}

func sayNothing(ctx context.Context, a *attacker) {
	// The node closes it after its hello timeout, or the attack ends.
	_, _ = io.Copy(io.Discard, a)
}

func comeAndGo(ctx context.Context, a *attacker) { a.greet() }

func idle(ctx context.Context, a *attacker) {
	if a.greet() {
		_, _ = io.Copy(io.Discard, a)
	}
}

func beginFrame(ctx context.Context, a *attacker) {
	if !a.greet() {
		return
	}
	begun := binary.LittleEndian.AppendUint32(nil, wire.MaxFrameBytes-4)
	if _, err := a.Write(append(begun, make([]byte, 20_000)...)); err == nil {
		_, _ = io.Copy(io.Discard, a)
	}
}

func dribble(ctx context.Context, a *attacker) {
	if !a.greet() {
		return
	}
	frame := listFrame(a)
	for i := 0; ctx.Err() == nil; i++ {
		if _, err := a.Write(frame[i%len(frame) : i%len(frame)+1]); err != nil {
			return
		}
		pause(ctx, 10*time.Millisecond)
	}
}

func statusFrame(a *attacker) []byte { return wire.AppendStatus(nil, a.head(0)) }

func listFrame(a *attacker) []byte {
	return wire.AppendList(nil, a.head(a.led()), &wire.List{Limit: wire.MaxListPage})
}

func tryFrame(a *attacker) []byte {
	g := a.led()
	h := a.head(g)
	h.Flags = wire.FlagDetails
	return wire.AppendAcquire(nil, h, &wire.Acquire{Session: 1, Epoch: 1, Mode: wire.ModeEX,
		Name: attackName(g, "try", 0)})
}

// largestFrame is of a kind that ends with its name, and longer than one: it is
// whole, and refused when it is decoded.
func largestFrame(a *attacker) []byte {
	frame := wire.AppendGet(nil, a.head(a.led()), &wire.Get{Name: []byte("x")})
	frame = append(frame, make([]byte, wire.MaxFrameBytes-len(frame))...)
	binary.LittleEndian.PutUint32(frame, wire.MaxFrameBytes-4)
	return frame
}

func strangersFrame(a *attacker) []byte {
	refs := make([]wire.SessionRef, wire.MaxGroups)
	for i := range refs {
		refs[i] = wire.SessionRef{Group: a.led(), Session: uint64(i) + 1<<40}
	}
	return wire.AppendKeepalive(nil, a.head(0), refs)
}

// readAll sends frames as fast as they are taken and reads what comes back.
func readAll(frame func(*attacker) []byte) func(context.Context, *attacker) {
	return func(ctx context.Context, a *attacker) {
		if !a.greet() {
			return
		}
		go func() { _, _ = io.Copy(io.Discard, a) }()
		sendAll(ctx, a, frame)
	}
}

// neverRead sends frames as fast as they are taken and reads nothing.
func neverRead(frame func(*attacker) []byte) func(context.Context, *attacker) {
	return func(ctx context.Context, a *attacker) {
		if a.greet() {
			sendAll(ctx, a, frame)
		}
	}
}

// sendAll sends frames until ctx or the conn ends.
func sendAll(ctx context.Context, a *attacker, frame func(*attacker) []byte) {
	var out []byte
	for len(out) < 32<<10 {
		out = append(out, frame(a)...)
	}
	for ctx.Err() == nil {
		if _, err := a.Write(out); err != nil {
			return
		}
	}
}

// readSlowly sends frames as fast as they are taken and reads a little of what
// comes back now and then.
func readSlowly(frame func(*attacker) []byte) func(context.Context, *attacker) {
	return func(ctx context.Context, a *attacker) {
		if !a.greet() {
			return
		}
		one := frame(a)
		go func() {
			in := bufio.NewReaderSize(a, 4<<10)
			for {
				h, body, err := readFrame(in)
				if err != nil {
					return
				}
				if x, err := wire.DecodeResponse(body); err == nil && h.Kind == wire.KindResponse {
					a.seen.add(x.Status, 1)
				}
				pause(ctx, time.Millisecond)
			}
		}()
		for ctx.Err() == nil {
			if _, err := a.Write(one); err != nil {
				return
			}
		}
	}
}

// ask sends requests, two hundred at a time, and counts what they are answered.
func (a *attacker) ask(ctx context.Context, frame func(k int) []byte) {
	in := bufio.NewReader(a)
	for k := 0; ctx.Err() == nil; {
		var out []byte
		const round = 200
		for range round {
			out = append(out, frame(k)...)
			k++
		}
		if _, err := a.Write(out); err != nil {
			return
		}
		_ = a.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		for range round {
			h, body, err := readFrame(in)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break // who waits for a lock is not answered
			}
			if err != nil {
				return
			}
			if x, err := wire.DecodeResponse(body); err == nil && h.Kind == wire.KindResponse {
				a.seen.add(x.Status, 1)
			}
		}
	}
}

func openWithoutEnd(ctx context.Context, a *attacker) {
	if !a.greet() {
		return
	}
	a.ask(ctx, func(int) []byte {
		h := a.head(a.led())
		x := wire.OpenSession{Epoch: 1, LeaseMillis: 3_000}
		binary.LittleEndian.PutUint64(x.Nonce[:], h.Request)
		binary.LittleEndian.PutUint64(x.Nonce[8:], uint64(a.number)<<32|uint64(time.Now().UnixMicro()))
		return wire.AppendOpenSession(nil, h, &x)
	})
}

// session opens the one session of a conn.
func (a *attacker) session() (uint64, bool) {
	x := wire.OpenSession{Epoch: 1, LeaseMillis: 3_000}
	binary.LittleEndian.PutUint64(x.Nonce[:], uint64(time.Now().UnixNano()))
	x.Nonce[15] = byte(a.number + 1)
	if _, err := a.Write(wire.AppendOpenSession(nil, a.head(a.led()), &x)); err != nil {
		return 0, false
	}
	_, body, err := readFrame(a)
	if err != nil {
		return 0, false
	}
	r, err := wire.DecodeResponse(body)
	return r.Token, err == nil && r.Status == wire.StatusOK
}

// holdAndWait asks for locks in one session, without end.
func holdAndWait(
	name func(a *attacker, k int) ([]byte, wire.Flags)) func(context.Context, *attacker) {
	return func(ctx context.Context, a *attacker) {
		if !a.greet() {
			return
		}
		session, ok := a.session()
		if !ok {
			return
		}
		a.ask(ctx, func(k int) []byte {
			h := a.head(a.led())
			x := wire.Acquire{Session: session, Epoch: 1, Mode: wire.ModeEX}
			x.Name, h.Flags = name(a, k)
			return wire.AppendAcquire(nil, h, &x)
		})
	}
}

func holdLong(a *attacker, k int) ([]byte, wire.Flags) {
	filler := strings.Repeat("n", wire.MaxNameBytes-40)
	name := attackName(a.led(), filler+strconv.Itoa(a.number), k)
	return name, 0
}

func waitHot(a *attacker, _ int) ([]byte, wire.Flags) {
	return attackName(a.led(), "hot", 0), wire.FlagWait
}
