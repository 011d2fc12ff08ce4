package lockfsm

import (
	"errors"
	"slices"
	"testing"
)

func TestBatchTextShowsEveryCommand(t *testing.T) {
	var b BatchBuilder
	b.Tick(200, []SessionID{7, 9})
	b.Append(&Command{Op: OpOpenSession, Nonce: Nonce{1}, Lease: 10_000, Epoch: 1, Name: []byte("c")})
	b.Append(&Command{Op: OpAcquire, Session: 7, Epoch: 2, Request: 3, Mode: 5, Flags: Wait,
		Name: []byte("a\n")})
	b.Append(&Command{Op: OpRelease, Session: 7, Epoch: 2, Token: 4, Name: []byte("a")})
	b.Append(&Command{Op: OpTake, Session: 7, Epoch: 2, Request: 5, Permits: 2, Capacity: 8,
		Weight: 1, Flags: Wait, Name: []byte("gpu")})
	b.Append(&Command{Op: OpEnter, Session: 7, Epoch: 2, Request: 6, Owner: 3, Name: []byte("b")})
	b.Append(&Command{Op: OpLeave, Session: 7, Epoch: 2, Request: 6, Token: 9, Name: []byte("b")})
	b.Append(&Command{Op: OpPark, Session: 9, Epoch: 1})
	got, err := BatchText(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"tick 200 ms, renews 7 9",
		`open "c" nonce 01000000000000000000000000000000 lease 10000 ms epoch 1`,
		`acquire "a\n" session 7 epoch 2 request 3 mode EX waits`,
		`release "a" session 7 epoch 2 token 4`,
		`take "gpu" session 7 epoch 2 request 5 permits 2 of 8 weight 1 waits`,
		`enter "b" session 7 epoch 2 request 6 owner 3 mode NL`,
		`leave "b" session 7 epoch 2 request 6 token 9`,
		"park session 9 epoch 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	short := b.Bytes()[:b.Size()-1]
	if got, err := BatchText(short); !errors.Is(err, ErrMalformed) || len(got) != 7 {
		t.Errorf("cut short: got %q, %v, want seven lines and ErrMalformed", got, err)
	}
	if got, err := BatchText(nil); got != nil || err != nil {
		t.Errorf("no-op: got %q, %v, want nothing", got, err)
	}
}
