package target

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
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
	_, err = Find([]string{"redis", "consul"}, Programs{})
	if err == nil || !strings.Contains(err.Error(), `"consul"`) ||
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

// TestLocks takes the same steps with every client: lock, wait while it is held,
// unlock once, not twice; with the names all share and with fresh ones.
func TestLocks(t *testing.T) {
	services := [][]string{
		{"redis", "redis-go", "redis-mux"}, {"redis-wait"}, {"redlock"}, {"etcd", "etcd-raw"},
		{"zookeeper", "zookeeper-raw"},
	}
	for _, names := range services {
		t.Run(names[0], func(t *testing.T) {
			targets, err := Find(names, Programs{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := targets[0].Launcher.Version(ctx); errors.Is(err, launch.ErrMissing) {
				t.Skipf("NOT TESTED: %v", err)
			}
			c, err := targets[0].Launcher.Start(ctx, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Stop() }()
			for _, target := range targets {
				locker, err := target.Open(ctx, c)
				if err != nil {
					t.Fatalf("%s: %v", target.Name, err)
				}
				lockSteps(t, locker, target.Name+"/key")
				lockSteps(t, locker, FreshPrefix+target.Name)
				if err := locker.Close(); err != nil {
					t.Errorf("%s: close: %v", target.Name, err)
				}
			}
		})
	}
}

func lockSteps(t *testing.T, locker Locker, key string) {
	t.Helper()
	hold, err := locker.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(key, FreshPrefix) {
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := locker.Lock(short, key); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, held: got %v, want to wait until the deadline", key, err)
		}
	}
	if err := hold.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	if err := hold.Unlock(t.Context()); !errors.Is(err, ErrNotHeld) {
		t.Errorf("%s, second unlock: got %v, want ErrNotHeld", key, err)
	}
	if strings.HasPrefix(key, FreshPrefix) {
		return // nobody takes one that is held
	}
	granted := make(chan error, 1)
	first, err := locker.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		second, err := locker.Lock(t.Context(), key)
		if err == nil {
			err = second.Unlock(t.Context())
		}
		granted <- err
	}()
	if err := errors.Join(first.Unlock(t.Context()), <-granted); err != nil {
		t.Errorf("%s, handed over: %v", key, err)
	}
}

// TestDisk asks for records from many callers and closes.
func TestDisk(t *testing.T) {
	for _, open := range []func(context.Context, *launch.Cluster) (Locker, error){
		openDisk, openDiskOfThree,
	} {
		dir := t.TempDir()
		d, err := open(t.Context(), &launch.Cluster{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				for range 5 {
					hold, err := d.Lock(t.Context(), "")
					if err == nil {
						err = hold.Unlock(t.Context())
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := d.Lock(t.Context(), ""); !errors.Is(err, errDiskClosed) {
			t.Errorf("after Close: got %v, want errDiskClosed", err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("got %v left behind, %v", left, err)
		}
	}
}

func TestNodeBefore(t *testing.T) {
	names := []string{"_c_9-lock-0000000012", "_c_1-lock-0000000007", "_c_5-lock-0000000009"}
	tests := map[string]string{
		"0000000012": "_c_5-lock-0000000009", "0000000009": "_c_1-lock-0000000007",
		"0000000007": "",
	}
	for number, want := range tests {
		if got := zkBefore(slices.Clone(names), number); got != want {
			t.Errorf("before %s: got %q, want %q", number, got, want)
		}
	}
}
