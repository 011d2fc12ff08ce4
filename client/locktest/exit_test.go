package locktest_test

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"lockd/client"
	"lockd/client/locktest"
)

// raise sends signals to this process, one after the other, and returns when the last
// has come.
func raise(t *testing.T, signals ...syscall.Signal) {
	t.Helper()
	came := make(chan os.Signal, 1)
	signal.Notify(came, signals[len(signals)-1])
	defer signal.Stop(came)
	for _, s := range signals {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
	}
	<-came
}

// TestReleaseOnExit has a client close when a signal comes that is to end the process,
// and not when that is ignored, as by nohup, or no longer of interest: then the process
// goes on, and so must its client.
func TestReleaseOnExit(t *testing.T) {
	cluster := locktest.New(t, locktest.Options{})
	ctx := within(t)
	a, b := cluster.Client(t, client.Options{}), cluster.Client(t, client.Options{})
	held := lock(ctx, t, a, "job")
	got := waiting(ctx, t, b, "job")

	signal.Ignore(syscall.SIGUSR1)
	defer signal.Reset(syscall.SIGUSR1)
	defer a.ReleaseOnExit(syscall.SIGUSR1)()
	a.ReleaseOnExit(syscall.SIGWINCH)()
	raise(t, syscall.SIGUSR1, syscall.SIGWINCH, syscall.SIGUSR2)
	if _, err := a.Lock(ctx, "other"); err != nil || !held.Valid() {
		t.Fatalf("after signals that end nothing: got %v, want the client alive", err)
	}

	a.ReleaseOnExit(syscall.SIGWINCH) // which by itself ends nothing
	raise(t, syscall.SIGWINCH)
	if h := <-got; h == nil || h.Token() <= held.Token() {
		t.Errorf("got %v, want the lock passed on", h)
	}
	if _, err := a.Lock(ctx, "other"); !errors.Is(err, client.ErrClosed) {
		t.Errorf("lock: got %v, want ErrClosed", err)
	}
}
