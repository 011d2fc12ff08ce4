package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lockd/lockd/node"
)

// TestFaults asks a node for faults: who does not know the secret gets none, nor does
// anybody of a node that takes none.
func TestFaults(t *testing.T) {
	var begun []Fault
	healed := 0
	faults := &Faults{
		Secret: []byte("right"),
		Begin: func(x Fault) error {
			if len(begun) > 0 {
				return ErrFaultActive
			}
			begun = append(begun, x)
			return nil
		},
		Heal:   func() { healed++ },
		Active: func() (Fault, time.Duration) { return Fault{Kind: FaultSlow}, time.Second },
	}
	serve := func(f *Faults) string {
		s := httptest.NewServer(NewHandler(Options{Faults: f, Status: func() *node.Status {
			return &node.Status{}
		}}))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	off, on := serve(nil), serve(faults)
	ctx := context.Background()
	slow := Fault{Kind: FaultSlow, For: time.Second, Peer: 2, Delay: time.Millisecond}
	for _, row := range []struct {
		what, address, secret string
		x                     Fault
		want                  error
		says                  string
	}{
		{"off", off, "right", slow, ErrFaultsOff, "faults.allow is false"},
		{"no secret", on, "", slow, ErrFaultSecret, "faults.secret_file"},
		{"another", on, "wrong", slow, ErrFaultSecret, "faults.secret_file"},
		{"unknown", on, "right", Fault{Kind: "burn", For: 1}, ErrAsk, `"burn" is no fault`},
		{"too long", on, "right", Fault{Kind: FaultCut, For: MaxFault + 1}, ErrAsk, "up to 1m0s"},
		{"no time", on, "right", Fault{Kind: FaultCut}, ErrAsk, "for is"},
		{"no delay", on, "right", Fault{Kind: FaultSlow, For: 1}, ErrAsk, "delay is"},
		{"late", on, "right", Fault{Kind: FaultSlow, For: 1, Delay: MaxDelay + 1}, ErrAsk, "delay is"},
		{"right", on, "right", slow, nil, ""},
		{"another lasts", on, "right", slow, ErrAsk, "another fault lasts"},
	} {
		err := AskFault(ctx, row.address, row.secret, row.x)
		if !errors.Is(err, row.want) || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: got %v, want %v that says %q", row.what, err, row.want, row.says)
		}
	}
	if len(begun) != 1 || begun[0] != slow {
		t.Errorf("got %v, want %v", begun, slow)
	}
	if err := AskHeal(ctx, on, "wrong"); !errors.Is(err, ErrFaultSecret) || healed != 0 {
		t.Errorf("heal with a wrong secret: got %v, healed %d times", err, healed)
	}
	if err := AskHeal(ctx, on, "right"); err != nil || healed != 1 {
		t.Errorf("heal: got %v, healed %d times, want once", err, healed)
	}
	for address, want := range map[string]bool{on: true, off: false} {
		if p, err := AskProgress(ctx, address); err != nil || p.TakesFaults != want {
			t.Errorf("status: got takes faults %v, %v, want %v", p.TakesFaults, err, want)
		}
	}
}
