package target

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"lockd/perf/launch"
)

func TestFind(t *testing.T) {
	found, err := Find([]string{"echo", "redis"}, Programs{})
	if err != nil || len(found) != 2 || found[0].Name != "echo" || found[1].Name != "redis" {
		t.Errorf("got %v, %v, want echo and redis", found, err)
	}
	_, err = Find([]string{"redis", "etcd"}, Programs{})
	if err == nil || !strings.Contains(err.Error(), `"etcd"`) ||
		!strings.Contains(err.Error(), "redis-wait") {
		t.Errorf("got %v, want an error with the name and the targets there are", err)
	}
}

func TestParseRESP(t *testing.T) {
	tests := []struct {
		text string
		size int
		want reply
	}{
		{"+OK\r\n+O", 5, reply{}},
		{":12\r\n", 5, reply{number: 12}},
		{"$-1\r\n", 5, reply{absent: true}},
		{"$3\r\nabc\r\n:1", 9, reply{}},
		{"$3\r\nab", 0, reply{}},
		{"+O", 0, reply{}},
		{"", 0, reply{}},
	}
	for _, test := range tests {
		size, got, err := parseRESP([]byte(test.text))
		if size != test.size || got != test.want || err != nil {
			t.Errorf("parseRESP(%q): got %d, %+v, %v, want %d, %+v",
				test.text, size, got, err, test.size, test.want)
		}
	}
	if _, got, _ := parseRESP([]byte("-ERR no\r\n")); got.err == nil {
		t.Error("an error of the server: got none")
	}
	for _, bad := range []string{"!1\r\n", ":x\r\n"} {
		if _, _, err := parseRESP([]byte(bad)); err == nil {
			t.Errorf("parseRESP(%q): got no error", bad)
		}
	}
}

// TestMuxAnswersInOrder runs many callers against a server that numbers what it
// receives.
func TestMuxAnswersInOrder(t *testing.T) {
	address := serve(t, func(conn net.Conn) {
		buffer := make([]byte, 512)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			if _, err := conn.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	// A request is one byte; its reply must be that byte.
	m, err := dialMux(t.Context(), address, func(b []byte) (int, reply, error) {
		if len(b) == 0 {
			return 0, reply{}, nil
		}
		return 1, reply{number: int64(b[0])}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for caller := range 20 {
		group.Go(func() {
			for range 200 {
				got, err := m.do(func(out []byte) []byte { return append(out, byte(caller)) })
				if err != nil || got.number != int64(caller) {
					t.Errorf("caller %d: got %+v, %v", caller, got, err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := m.close(); err != nil {
		t.Error(err)
	}
	if _, err := m.do(func(out []byte) []byte { return out }); !errors.Is(err, errMuxClosed) {
		t.Errorf("after close: got %v, want errMuxClosed", err)
	}
}

// TestMuxFailsThoseWhoWait lets the server hang up on callers that wait.
func TestMuxFailsThoseWhoWait(t *testing.T) {
	address := serve(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1))
	})
	m, err := dialMux(t.Context(), address, parseEcho)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.do(func(out []byte) []byte { return append(out, 1) }); err == nil {
		t.Error("got an answer from a server that hung up")
	}
	_ = m.close()
}

// serve accepts connections until the test ends and closes each after handle.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// TestRedisLocks takes the same steps with every Redis client: lock, refused
// while held, unlocked once, not twice.
func TestRedisLocks(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip(launch.ErrNoRedis)
	}
	targets, err := Find([]string{"redis", "redis-go", "redis-mux"}, Programs{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := launch.Redis{}.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Stop() }()
	for _, target := range targets {
		t.Run(target.Name, func(t *testing.T) {
			locker, err := target.Open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			lockSteps(t, locker)
			if err := locker.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func lockSteps(t *testing.T, locker Locker) {
	t.Helper()
	hold, err := locker.Lock(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := locker.Lock(short, "key"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a held lock: got %v, want to wait until the deadline", err)
	}
	if err := hold.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	if err := hold.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) {
		t.Errorf("second unlock: got %v, want ErrNotHeld", err)
	}
}
