package main

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// Progress is told when it has changed, once a second, and to nobody who does not watch.
func TestProgress(t *testing.T) {
	for _, watched := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			p := newProgress(&shell{err: &out})
			p.watched = watched
			for i := range 16 { // three seconds, in which it changes twice a second
				p.say(fmt.Sprintf("%d groups are on the move,", min(i/2, 6)))
				time.Sleep(200 * time.Millisecond)
			}
			want := ""
			if watched {
				want = "lockd: waiting: 2 groups are on the move\n" +
					"lockd: waiting: 5 groups are on the move\n" +
					"lockd: waiting: 6 groups are on the move\n"
			}
			if got := out.String(); got != want {
				t.Errorf("watched %v: got %q, want %q", watched, got, want)
			}
		})
	}
}
