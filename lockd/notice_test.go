package main

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestLongWaitIsExplainedOnce proves that a wait says after a while what it is for, that
// a short one says nothing, and that neither is held up by nodes that do not answer.
func TestLongWaitIsExplainedOnce(t *testing.T) {
	for _, row := range []struct {
		name   string
		wait   time.Duration // until the lock is granted
		answer time.Duration // until it is known who is in the way
		text   string
		want   string
	}{
		{"short", time.Second, 0, "x is held", ""},
		{"long", time.Hour, time.Second, "x is held", "lockd: waiting: x is held\n"},
		{"nothing to say", time.Hour, 0, "", ""},
		{"granted while it is asked", 6 * time.Second, 1500 * time.Millisecond, "x is held", ""},
		{"nodes that hang", 20 * time.Second, time.Hour, "x is held", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				p := patience{wait: waitsForEver, notice: notice{after: 5 * time.Second, to: &out,
					ask: func(ctx context.Context) string {
						select {
						case <-time.After(row.answer):
							return row.text
						case <-ctx.Done():
							return ""
						}
					}}}
				got, err := acquire(&p, func(context.Context) (int, error) {
					time.Sleep(row.wait)
					return 7, nil
				})
				if got != 7 || err != nil || out.String() != row.want {
					t.Errorf("got %d, %v and %q, want 7 and %q", got, err, out.String(), row.want)
				}
			})
		})
	}
}

// TestTryExplainsNoWait proves that a try, which does not wait for the lock, says nothing
// of a wait.
func TestTryExplainsNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := patience{notice: notice{after: time.Second, to: &out,
			ask: func(context.Context) string { return "x is held" }}}
		if _, err := acquire(&p, func(context.Context) (int, error) {
			time.Sleep(4 * time.Second)
			return 7, nil
		}); err != nil || out.Len() > 0 {
			t.Errorf("got %v and %q, want nothing", err, out.String())
		}
	})
}
