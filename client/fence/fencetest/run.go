package fencetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"lockd/client/fence"
)

// Resource is a place for one value a name, behind the guard to be proved.
type Resource interface {
	// Write stores value under name for the holder of a token. A refusal matches
	// fence.ErrStale and changes nothing. After any other error it is not known
	// whether the value was stored.
	Write(ctx context.Context, name string, token uint64, value string) error
	// Read returns what was stored last under name, empty if nothing was.
	Read(ctx context.Context, name string) (string, error)
}

// Crasher is a Resource that outlives crashes.
type Crasher interface {
	Resource
	// CrashPoints names the moments of a Write at which WriteAndCrash can crash,
	// at least one: after the check and before the write, for instance, and
	// after the write and before it is durable.
	CrashPoints() []string
	// WriteAndCrash is a Write that ends at a point as if the process was killed
	// there. It returns when the resource is up again, with what was durable.
	WriteAndCrash(ctx context.Context, point, name string, token uint64, value string) error
}

// Run proves a guard. Open returns a Resource in which nothing was written; it is
// called once for each test.
func Run(t *testing.T, open func(t *testing.T) Resource) {
	t.Helper()
	for _, x := range trials() {
		t.Run(x.name, func(t *testing.T) {
			if err := x.run(t.Context(), open(t)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("crash", func(t *testing.T) {
		first, ok := open(t).(Crasher)
		if !ok {
			t.Skip("not a Crasher: what a crash between check and write does is not proved")
		}
		for _, point := range first.CrashPoints() {
			t.Run(point, func(t *testing.T) {
				if err := crash(t.Context(), open(t).(Crasher), point); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// trial is one thing that is proved.
type trial struct {
	name string
	run  func(ctx context.Context, r Resource) error
}

func trials() []trial {
	return []trial{
		{"stale writer after a newer one", staleAfterNewer},
		{"equal token", equalToken},
		{"tokens are numbers", numbers},
		{"names are apart", namesApart},
		{"no token of a grant", noToken},
		{"refusals are forgotten", refusals},
		{"writers side by side", sideBySide},
	}
}

// step is one write and what must come of it.
type step struct {
	name  string
	token uint64
	want  outcome
}

type outcome uint8

const (
	accepted outcome = iota
	stale
)

// walk takes steps, and looks after each whether what is stored is what it should
// be.
func walk(ctx context.Context, r Resource, steps ...step) error {
	stored := map[string]string{}
	for i, s := range steps {
		value := fmt.Sprintf("step %d with token %d", i+1, s.token)
		err := r.Write(ctx, s.name, s.token, value)
		switch {
		case s.want == accepted && err != nil:
			return fmt.Errorf("step %d: write of %q with token %d: got %w, want it accepted",
				i+1, s.name, s.token, err)
		case s.want == stale && !errors.Is(err, fence.ErrStale):
			return fmt.Errorf("step %d: write of %q with token %d: got %v, want it refused with %w",
				i+1, s.name, s.token, err, fence.ErrStale)
		case s.want == accepted:
			stored[s.name] = value
		}
		for _, other := range steps {
			got, err := r.Read(ctx, other.name)
			if err != nil || got != stored[other.name] {
				return fmt.Errorf("after step %d: %q is %q, %v, want %q", i+1, other.name, got, err,
					stored[other.name])
			}
		}
	}
	return nil
}

func staleAfterNewer(ctx context.Context, r Resource) error {
	return walk(ctx, r, step{"a", 33, accepted}, step{"a", 34, accepted}, step{"a", 33, stale},
		step{"a", 1, stale}, step{"a", 34, accepted}, step{"a", 90, accepted}, step{"a", 89, stale})
}

func equalToken(ctx context.Context, r Resource) error {
	return walk(ctx, r, step{"a", 7, accepted}, step{"a", 7, accepted}, step{"a", 8, accepted},
		step{"a", 8, accepted}, step{"a", 7, stale})
}

// numbers finds guards that compare digits, or keep 32 bits, or a fraction.
func numbers(ctx context.Context, r Resource) error {
	return walk(ctx, r, step{"a", 9, accepted}, step{"a", 10, accepted}, step{"a", 9, stale},
		step{"a", 1 << 31, accepted}, step{"a", 99, stale}, step{"a", 1 << 32, accepted},
		step{"a", 1<<32 - 1, stale}, step{"a", 1<<53 + 1, accepted}, step{"a", 1 << 53, stale},
		step{"a", fence.MaxToken, accepted}, step{"a", fence.MaxToken - 1, stale})
}

func namesApart(ctx context.Context, r Resource) error {
	names := []string{"orders/42", "orders/43", "Orders/42", "orders/42 ", " orders/42", "orders",
		"orders/é", "orders/e\u0301", "'; drop table orders", "100%", "a,b=c", "a\nb", "?x#y"}
	var steps []step
	for i, name := range names {
		steps = append(steps, step{name, uint64(1000 - i), accepted})
	}
	for i, name := range names {
		steps = append(steps, step{name, uint64(1000 - i - 1), stale})
	}
	return walk(ctx, r, steps...)
}

// noToken finds guards that take zero for "anything goes".
func noToken(ctx context.Context, r Resource) error {
	for _, when := range []string{"before", "after"} {
		if err := r.Write(ctx, "a", 0, "zero"); err == nil {
			return fmt.Errorf("write with token 0 %s another: accepted, want it refused", when)
		}
		if when == "before" {
			if err := walk(ctx, r, step{"a", 5, accepted}); err != nil {
				return err
			}
		}
	}
	if got, err := r.Read(ctx, "a"); err != nil || got == "zero" {
		return fmt.Errorf("after refusals: got %q, %v, want what was written before", got, err)
	}
	return nil
}

// refusals finds guards that remember the token they have seen last, rather than
// the largest.
func refusals(ctx context.Context, r Resource) error {
	return walk(ctx, r, step{"a", 50, accepted}, step{"a", 20, stale}, step{"a", 20, stale},
		step{"a", 30, stale}, step{"a", 50, accepted}, step{"b", 1, accepted}, step{"a", 49, stale})
}

// crash proves that a crash at a point leaves no way for an older writer over what
// a newer one wrote, and keeps nobody from writing on.
func crash(ctx context.Context, r Crasher, point string) error {
	if err := walk(ctx, r, step{"a", 10, accepted}, step{"b", 12, accepted}); err != nil {
		return err
	}
	const crashed = "written by token 20, which crashed"
	if err := r.WriteAndCrash(ctx, point, "a", 20, crashed); err != nil {
		return fmt.Errorf("crash %s: %w", point, err)
	}
	value, err := r.Read(ctx, "a")
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	if err := r.Write(ctx, "a", 10, "written by token 10, again"); err == nil && value == crashed {
		return errors.New("what token 20 wrote before the crash was overwritten with token 10: " +
			"the token is less durable than the write")
	} else if err != nil && !errors.Is(err, fence.ErrStale) {
		return fmt.Errorf("write with token 10 after the crash: got %w, want it accepted or stale", err)
	}
	if err := r.Write(ctx, "a", 9, "nine"); !errors.Is(err, fence.ErrStale) {
		return fmt.Errorf("write with token 9 after the crash: got %v, want stale", err)
	}
	if err := r.Write(ctx, "b", 11, "eleven"); !errors.Is(err, fence.ErrStale) {
		return fmt.Errorf("write of another name with token 11: got %v, want stale", err)
	}
	for _, token := range []uint64{20, 21} {
		if err := r.Write(ctx, "a", token, fmt.Sprint(token)); err != nil {
			return fmt.Errorf("write with token %d after the crash: %w", token, err)
		}
	}
	if got, err := r.Read(ctx, "a"); err != nil || got != "21" {
		return fmt.Errorf("at the end: got %q, %v, want 21", got, err)
	}
	return nil
}
