package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockd/client"
)

// lostHold was granted and is lost.
type lostHold struct{ told chan struct{} }

func (h lostHold) Lost() <-chan struct{}        { return h.told }
func (h lostHold) SafeUntil() time.Time         { return time.Time{} }
func (h lostHold) Valid() bool                  { return false }
func (h lostHold) Unlock(context.Context) error { return client.ErrLost }

// A lock that is lost between its grant and the start of the command is exit code 75,
// and the command is not started.
func TestLostBeforeTheCommandStarts(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	var out bytes.Buffer
	r := &runner{verb: "run", noun: "lock", onLost: "kill"}
	err := r.underLock(&shell{out: &out, err: &out}, &taken{hold: lostHold{}, what: `lock "a"`},
		[]string{"touch", ran})
	if exitCode(err) != exitLostBefore || !strings.Contains(err.Error(), `lock "a" was lost before`) {
		t.Errorf("got %v with exit code %d, want %d", err, exitCode(err), exitLostBefore)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command was started")
	}
}

// What keeps a verb from a lock has the exit code that the help promises.
func TestExitCodesOfRefusedLocks(t *testing.T) {
	p := &patience{conflictCode: 9}
	for _, row := range []struct {
		err  error
		want int
	}{
		{&client.HeldError{Name: "a"}, 9},
		{&client.KindError{Name: "a", Capacity: 3}, exitFailure},
		{&client.LostError{Name: "a", Cause: errors.New("why")}, exitLostBefore},
		{fmt.Errorf("%w: gone", client.ErrSessionEnded), exitLostBefore},
		{fmt.Errorf("%w: why", client.ErrUnavailable), exitUnavailable},
		{fmt.Errorf("%w: why", client.ErrOptions), exitUsage},
		{fmt.Errorf("%w: why", client.ErrTooMuchData), exitFailure},
		{&failure{code: 130}, 130},
		{nil, exitOK},
	} {
		if got := exitCode(p.failure(nil, []string{"a"}, row.err)); got != row.want {
			t.Errorf("%v: got exit code %d, want %d", row.err, got, row.want)
		}
	}
}
