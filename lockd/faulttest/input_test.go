package faulttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/client"
	"lockd/netio/wire"
)

// TestFW1CommandLine shows that what is typed wrong is said, with the nearest
// right thing, and that nothing starts.
func TestFW1CommandLine(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown flag", []string{"serve", "--dta", "x"}, "unknown flag --dta; did you mean --data?"},
		{"unknown verb", []string{"srve"}, `unknown verb "srve"; did you mean "serve"?`},
		{"unknown second word", []string{"cluster", "sttus"}, `did you mean "cluster status"?`},
		{"no settings", []string{"serve"}, "cluster.name is missing"},
		{"bad value", []string{"serve", "--id", "0"}, "--id: 0 is out of range, must be 1 to 65535"},
		{"bad node", []string{"serve", "--node", "1=x"}, `--node: "1=x" is not a node`},
		{"no command", []string{"run", "name"}, "the command is missing"},
		{"no dashes", []string{"run", "name", "true"}, "write -- before the command"},
		{"bad format", []string{"get", "-o", "xml", "name"}, "must be table or json"},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, out := lockd(t, row.args...)
			if code != 2 || !strings.Contains(out, row.want) {
				t.Errorf("got exit code %d and %q, want 2 and %q", code, out, row.want)
			}
		})
	}
}

// TestFW1UnknownConfigKey shows that serve refuses a file with a mistake.
func TestFW1UnknownConfigKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lockd.toml")
	text := "[cluster]\nname = \"x\"\n[node]\nid = 1\nwindwo = 3\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range [][]string{{"serve", "--config", path}, {"config", "check", path}} {
		code, out := lockd(t, verb...)
		want := path + ":5: unknown key node.windwo; did you mean node.window?"
		if code != 2 || !strings.Contains(out, want) {
			t.Errorf("%q: got exit code %d and %q, want 2 and %q", verb, code, out, want)
		}
	}
}

// TestFW1BadInput throws bad input at one cluster and demands after each piece
// that it serves as before.
func TestFW1BadInput(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "good"})
	held, err := cl.Lock(within(t, 10*time.Second), "held")
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, fn func(t *testing.T, c *Cluster, cl *client.Client)) {
		t.Run(name, func(t *testing.T) {
			fn(t, c, cl)
			undisturbed(t, c, cl, held)
		})
	}
	run("GarbageOnClientPort", garbageOnClientPort)
	run("GarbageOnPeerPort", garbageOnPeerPort)
	run("FrameTooLarge", frameTooLarge)
	run("FrameBeforeHello", frameBeforeHello)
	run("VersionTooNew", versionTooNew)
	run("NameTooLong", nameTooLong)
	run("EmptyName", emptyName)
	run("HTTPOnClientPort", httpOnClientPort)
	run("ManyHalfOpenConns", manyHalfOpenConns)
}

// undisturbed demands that a lock can be had, that a hold stands, and that all
// nodes run and are ready.
func undisturbed(t *testing.T, c *Cluster, cl *client.Client, held *client.Held) {
	t.Helper()
	ctx := within(t, 10*time.Second)
	h, err := cl.Lock(ctx, "afterwards")
	if err != nil {
		t.Fatalf("the cluster does not serve: %v", err)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if !held.Valid() {
		t.Errorf("an old hold is gone: %v", context.Cause(held.Context()))
	}
	for _, n := range c.Nodes {
		if err := n.AwaitReady(ctx); err != nil {
			t.Error(err)
		}
	}
}

// exchange sends bytes and returns all that comes back until the node closes.
func exchange(t *testing.T, address string, send []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(send); err != nil {
		t.Fatal(err)
	}
	back, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the node did not close the conn; it sent %x", back)
	}
	return back
}

// refusal demands that the last frame of an answer is a Refused and returns it.
func refusal(t *testing.T, back []byte) wire.Refused {
	t.Helper()
	for len(back) > 0 {
		size, err := wire.FrameBytes(back, wire.MaxFrameBytes)
		if err != nil || size == 0 || size > len(back) {
			t.Fatalf("the answer is no frame: %x, %v", back, err)
		}
		h, body, err := wire.Parse(back[:size])
		if err != nil {
			t.Fatal(err)
		}
		if h.Kind == wire.KindRefused {
			r, err := wire.DecodeRefused(body)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		back = back[size:]
	}
	t.Fatal("the node closed the conn without a Refused")
	return wire.Refused{}
}

func hello() []byte {
	return wire.AppendHello(nil, wire.Header{}, &wire.Hello{
		Version: wire.Version, MinVersion: wire.MinVersion, Name: []byte("raw"),
	})
}

func garbageOnClientPort(t *testing.T, c *Cluster, _ *client.Client) {
	noise := bytes.Repeat([]byte{0xde, 0xad, 0xbe, 0xef}, 4096)
	for _, n := range c.Nodes {
		if r := refusal(t, exchange(t, n.Client, noise)); r.Code != wire.RefusedMagic {
			t.Errorf("node %d: got refusal %v (%s), want %v", n.ID, r.Code, r.Text,
				wire.RefusedMagic)
		}
	}
	after := append(hello(), noise...)
	if r := refusal(t, exchange(t, c.Nodes[0].Client, after)); r.Code != wire.RefusedFrame {
		t.Errorf("after the hello: got refusal %v (%s), want %v", r.Code, r.Text,
			wire.RefusedFrame)
	}
}

func garbageOnPeerPort(t *testing.T, c *Cluster, _ *client.Client) {
	noise := bytes.Repeat([]byte{0xde, 0xad, 0xbe, 0xef}, 4096)
	frame := wire.AppendPeer(nil, wire.PeerKindHello, []byte("LKP1 and then nonsense"))
	bad := append([]byte(nil), frame...)
	bad[len(bad)-1] ^= 1
	for _, n := range c.Nodes {
		for _, send := range [][]byte{noise, frame, bad, hello()} {
			exchange(t, n.Peer, send)
		}
	}
}

func frameTooLarge(t *testing.T, c *Cluster, _ *client.Client) {
	big := binary.LittleEndian.AppendUint32(hello(), wire.MaxFrameBytes+1)
	r := refusal(t, exchange(t, c.Nodes[0].Client, append(big, make([]byte, 1000)...)))
	if r.Code != wire.RefusedFrame || !strings.Contains(string(r.Text), "limit") {
		t.Errorf("got refusal %v (%s), want %v naming the limit", r.Code, r.Text,
			wire.RefusedFrame)
	}
	huge := binary.LittleEndian.AppendUint32(nil, 1<<31)
	exchange(t, c.Nodes[0].Peer, append(huge, make([]byte, 1000)...))
}

func frameBeforeHello(t *testing.T, c *Cluster, _ *client.Client) {
	get := wire.AppendGet(nil, wire.Header{Request: 1}, &wire.Get{Name: []byte("held")})
	r := refusal(t, exchange(t, c.Nodes[1].Client, get))
	if r.Code != wire.RefusedFrame {
		t.Errorf("got refusal %v (%s), want %v", r.Code, r.Text, wire.RefusedFrame)
	}
}

func versionTooNew(t *testing.T, c *Cluster, _ *client.Client) {
	newer := wire.AppendHello(nil, wire.Header{}, &wire.Hello{
		Version: wire.Version + 7, MinVersion: wire.Version + 5, Name: []byte("later"),
	})
	r := refusal(t, exchange(t, c.Nodes[2].Client, newer))
	if r.Code != wire.RefusedVersion {
		t.Errorf("got refusal %v (%s), want %v", r.Code, r.Text, wire.RefusedVersion)
	}
}

func nameTooLong(t *testing.T, c *Cluster, cl *client.Client) {
	long := strings.Repeat("x", wire.MaxNameBytes+1)
	_, err := cl.TryLock(within(t, 10*time.Second), long)
	if !errors.Is(err, client.ErrNameTooLong) {
		t.Errorf("Go client: got %v, want ErrNameTooLong", err)
	}
	code, out := lockd(t, "run", "-n", "--addr", c.Nodes[0].Client, long, "--", "true")
	if code != 2 || !strings.Contains(out, "name") {
		t.Errorf("lockd run: got exit code %d and %q, want 2 and a word about the name", code, out)
	}
	h, err := cl.TryLock(within(t, 10*time.Second), long[:wire.MaxNameBytes])
	if err != nil {
		t.Fatalf("the longest name: %v", err)
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
	// A client of another make may send it all the same.
	acquire := binary.LittleEndian.AppendUint32(hello(), 16-4+20+uint32(len(long)))
	acquire = append(acquire, byte(wire.KindAcquire), 0, 0, 0)
	acquire = binary.LittleEndian.AppendUint64(acquire, 1)
	acquire = append(acquire, make([]byte, 18)...)
	acquire = binary.LittleEndian.AppendUint16(acquire, uint16(len(long)))
	raw(t, c.Nodes[0].Client, append(acquire, long...))
}

// raw sends a hello and one frame and demands an answer or a close, in time.
func raw(t *testing.T, address string, send []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(send); err != nil {
		t.Fatal(err)
	}
	// The Welcome comes first, then a Response or Refused.
	var head [16]byte
	for frames := 0; frames < 2; frames++ {
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			if frames == 1 && errors.Is(err, io.EOF) {
				return
			}
			t.Fatalf("frame %d of the answer: %v", frames, err)
		}
		rest := int64(binary.LittleEndian.Uint32(head[:])) + 4 - int64(len(head))
		if _, err := io.CopyN(io.Discard, conn, rest); err != nil {
			t.Fatal(err)
		}
	}
}

func emptyName(t *testing.T, c *Cluster, cl *client.Client) {
	for _, name := range []string{"", "a\x00b"} {
		if _, err := cl.TryLock(within(t, 10*time.Second), name); !errors.Is(err, client.ErrBadName) {
			t.Errorf("name %q: got %v, want ErrBadName", name, err)
		}
	}
	if code, out := lockd(t, "run", "--addr", c.Nodes[0].Client, "", "--", "true"); code != 2 {
		t.Errorf("lockd run with an empty name: got exit code %d and %q, want 2", code, out)
	}
}

func httpOnClientPort(t *testing.T, c *Cluster, _ *client.Client) {
	back := exchange(t, c.Nodes[0].Client, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if r := refusal(t, back); r.Code != wire.RefusedMagic {
		t.Errorf("got refusal %v (%s), want %v", r.Code, r.Text, wire.RefusedMagic)
	}
	exchange(t, c.Nodes[0].Peer, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
}

// manyHalfOpenConns leaves conns behind that never say anything.
func manyHalfOpenConns(t *testing.T, c *Cluster, _ *client.Client) {
	for range 200 {
		for _, address := range []string{c.Nodes[0].Client, c.Nodes[0].Peer} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
		}
	}
}
