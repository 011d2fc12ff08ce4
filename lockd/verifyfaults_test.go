package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestMoveWithoutAnswerIsHealed: who ends a run while a move is asked for does not hear
// that it is made, and it is taken back all the same.
func TestMoveWithoutAnswerIsHealed(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var leader atomic.Value // of group 7, in the record
	leader.Store("1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"node":1,"leaders":[{"group":7,"leader":1,"preferred":1}],`+
			`"nodes":[{"node":1,"state":"member"},{"node":2,"state":"member"}]}`)
	})
	mux.HandleFunc("POST /v1/cluster/move", func(w http.ResponseWriter, r *http.Request) {
		leader.Store(r.FormValue("node"))
		if ctx.Err() == nil {
			interrupt()
			<-r.Context().Done() // the answer comes too late
			return
		}
		fmt.Fprint(w, "{}")
	})
	node := httptest.NewServer(mux)
	defer node.Close()
	f := &moveFault{address: strings.TrimPrefix(node.URL, "http://")}
	if _, err := f.Begin(ctx); err == nil || leader.Load() != "2" {
		t.Fatalf("got error %v, group 7 is to be led by %v, want an error, and 2", err, leader.Load())
	}
	if err := f.Heal(t.Context()); err != nil || leader.Load() != "1" {
		t.Errorf("healed: got error %v, group 7 is to be led by %v, want 1", err, leader.Load())
	}
}
