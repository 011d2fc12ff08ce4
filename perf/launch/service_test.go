package launch

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// needs skips a test, loudly, whose program is not on this machine.
func needs(t *testing.T, l Launcher) {
	t.Helper()
	_, err := l.Version(t.Context())
	if errors.Is(err, ErrMissing) {
		t.Skipf("NOT TESTED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dial says whether somebody listens at an address.
func dial(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// TestReplicatedServices starts, crashes, restarts and stops what has three
// processes.
func TestReplicatedServices(t *testing.T) {
	services := map[string]Launcher{
		"etcd 3": Etcd{}, "ZooKeeper 3": ZooKeeper{}, "redis-server": Redis{Alone: 3},
	}
	for name, launcher := range services {
		t.Run(name, func(t *testing.T) {
			needs(t, launcher)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			version, err := launcher.Version(ctx)
			if err != nil || !strings.HasPrefix(version, name) {
				t.Errorf("version: got %q, %v, want %s…", version, err, name)
			}
			c, err := launcher.Start(ctx, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Addresses) != 3 || len(c.Processes) != 3 {
				t.Errorf("got %d addresses of %d processes, want 3",
					len(c.Addresses), len(c.Processes))
			}
			if used, err := c.Processes[0].Memory(); err != nil || used == 0 {
				t.Errorf("memory: got %d, %v, want some", used, err)
			}
			c.Crash()
			if err := dial(c.Addresses[0]); err == nil {
				t.Error("after the crash: got an answer, want none")
			}
			if err := c.Restart(ctx); err != nil {
				t.Error(err)
			}
			if err := c.Stop(); err != nil {
				t.Error(err)
			}
			if err := dial(c.Addresses[2]); err == nil {
				t.Error("after Stop: got an answer, want none")
			}
		})
	}
}

// TestMissingProgramsAreNamed looks for programs where there are none: the error
// must say how to get them.
func TestMissingProgramsAreNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	launchers := map[string]Launcher{
		"apt-get install redis-server":           Redis{},
		"apt-get install etcd-server":            Etcd{},
		"apt-get install default-jre-headless":   ZooKeeper{},
		"make build":                             Lockd{Path: "/nonexistent/lockd"},
		"/nonexistent/redis is not there or not": Redis{Path: "/nonexistent/redis"},
		"name a binary with --etcd":              Etcd{Path: "/nonexistent/etcd"},
	}
	for want, launcher := range launchers {
		_, err := launcher.Version(t.Context())
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), want) {
			t.Errorf("version: got %v, want ErrMissing with %q", err, want)
		}
		if _, ok := launcher.(Lockd); ok {
			continue // it starts whatever it is told to
		}
		_, err = launcher.Start(t.Context(), t.TempDir())
		if !errors.Is(err, ErrMissing) {
			t.Errorf("start: got %v, want ErrMissing", err)
		}
	}
}

func TestZooKeeperMissing(t *testing.T) {
	if _, err := lookUp("", "java", getJava); err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	_, err := ZooKeeper{Path: "/nonexistent/zookeeper.jar"}.Version(t.Context())
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "apt-get install zookeeper") {
		t.Errorf("got %v, want ErrMissing and the way to get it", err)
	}
}
