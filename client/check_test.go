package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"lockd/netio/wire"
)

// TestCheckToken proves that a token is current from its grant to its end.
func TestCheckToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c, resource := n.client(t, Options{}), n.client(t, Options{})
		h := lock(t, c, "a")
		got, err := resource.CheckToken(t.Context(), "a", h.Token())
		if want := (TokenState{Current: true, Newest: h.Token()}); err != nil || got != want {
			t.Errorf("held: got %+v, %v, want %+v", got, err, want)
		}
		unlock(t, h)
		if got, err = resource.CheckToken(t.Context(), "a", h.Token()); err != nil ||
			got != (TokenState{}) {
			t.Errorf("unlocked: got %+v, %v, want not current", got, err)
		}
		again := lock(t, c, "a")
		got, err = resource.CheckToken(t.Context(), "a", h.Token())
		if want := (TokenState{Newest: again.Token()}); err != nil || got != want {
			t.Errorf("another holder: got %+v, %v, want %+v", got, err, want)
		}
	})
}

// TestCheckManyTokens proves that many are asked for over all groups, in as many
// requests as it takes, and that the answers stand in order.
func TestCheckManyTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		var pairs []NameToken
		for i := range 50 {
			name := fmt.Sprint("lock/", i)
			h := lock(t, c, name)
			pairs = append(pairs, NameToken{name, h.Token()}, NameToken{name, h.Token() + 1})
		}
		got, err := c.CheckTokens(t.Context(), pairs)
		if err != nil || len(got) != len(pairs) {
			t.Fatalf("got %d states, %v, want %d", len(got), err, len(pairs))
		}
		for i, s := range got {
			if s.Current != (i%2 == 0) || s.Newest != pairs[i&^1].Token {
				t.Errorf("pair %d: got %+v, want that of %+v", i, s, pairs[i])
			}
		}
		if got, err := c.CheckTokens(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("no pairs: got %v, %v, want none", got, err)
		}
	})
}

// TestCheckTokensFitFrames proves that no frame is longer than the cluster takes.
func TestCheckTokensFitFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		frames, most := 0, 0
		n.with(func(d *dumbCluster) {
			d.filter = func(_ *dumbConn, h wire.Header, body []byte) wire.Status {
				if h.Kind == wire.KindCheckTokens {
					frames, most = frames+1, max(most, wire.HeaderBytes+len(body))
				}
				return 0
			}
		})
		c := n.client(t, Options{})
		pairs := make([]NameToken, 1500)
		for i := range pairs {
			pairs[i] = NameToken{strings.Repeat("x", 400) + fmt.Sprint(i), 1}
		}
		if _, err := c.CheckTokens(t.Context(), pairs); err != nil {
			t.Fatal(err)
		}
		limit := int(wire.DefaultLimits().FrameBytes)
		if most > limit || most < limit-1000 || frames < 500 { // three are answered at a time
			t.Errorf("got %d frames of up to %d bytes, want full ones of at most %d",
				frames, most, limit)
		}
	})
}

// TestCheckTokenErrors proves that what cannot be asked is refused by name.
func TestCheckTokenErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, 4)
		c := n.client(t, Options{})
		for name, want := range map[string]error{
			"": ErrBadName, "a\x00": ErrBadName, strings.Repeat("x", 513): ErrNameTooLong,
		} {
			if _, err := c.CheckToken(t.Context(), name, 1); !errors.Is(err, want) {
				t.Errorf("%.10q: got %v, want %v", name, err, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.CheckToken(ctx, "a", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: got %v, want canceled", err)
		}
		n.with(func(d *dumbCluster) { d.version = wire.VersionKinds })
		old := n.client(t, Options{})
		if _, err := old.CheckToken(t.Context(), "a", 1); !errors.Is(err, ErrUnsupported) {
			t.Errorf("old nodes: got %v, want unsupported", err)
		}
	})
}
