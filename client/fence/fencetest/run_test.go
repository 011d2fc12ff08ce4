package fencetest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"lockd/client/fence"
)

// shelf is a Resource with faults that can be switched on.
type shelf struct {
	fault string
	mu    sync.Mutex
	kept  map[string]slot // what is durable
	began int             // writes
}

type slot struct {
	token uint64
	value string
}

func newShelf(fault string) *shelf { return &shelf{fault: fault, kept: map[string]slot{}} }

func (s *shelf) key(name string) string {
	switch s.fault {
	case "one token for all":
		return ""
	case "names cut":
		return name[:min(len(name), 9)]
	}
	return name
}

func (s *shelf) refuses(have, token uint64) bool {
	switch s.fault {
	case "no guard":
		return false
	case "text":
		return fmt.Sprint(token) < fmt.Sprint(have)
	case "32 bits":
		return uint32(token) < uint32(have)
	case "float":
		return float64(token) < float64(have)
	case "equal refused":
		return token <= have
	}
	return token < have
}

func (s *shelf) Write(_ context.Context, name string, token uint64, value string) error {
	if token == 0 && s.fault != "zero passes" {
		return fence.ErrToken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began++
	have := s.kept[s.key(name)]
	if token != 0 && s.refuses(have.token, token) {
		if s.fault == "last seen" {
			s.kept[s.key(name)] = slot{token, have.value}
		}
		return &fence.StaleError{Name: name, Token: token, Newest: have.token}
	}
	if s.fault == "check apart" {
		// Until another write has begun, or none is under way.
		for before, n := s.began, 0; s.began == before && n < 1000; n++ {
			s.mu.Unlock()
			runtime.Gosched()
			s.mu.Lock()
		}
	}
	s.kept[s.key(name)] = slot{token, value}
	return nil
}

func (s *shelf) Read(_ context.Context, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[s.key(name)].value, nil
}

func (s *shelf) CrashPoints() []string { return []string{"before the write", "after the write"} }

func (s *shelf) WriteAndCrash(ctx context.Context, point, name string, token uint64,
	value string) error {
	before := s.kept[s.key(name)]
	if point == "after the write" {
		if err := s.Write(ctx, name, token, value); err != nil {
			return err
		}
	}
	switch s.fault {
	case "forgets": // all tokens, and keeps what was written
		for key, have := range s.kept {
			s.kept[key] = slot{0, have.value}
		}
	case "token less durable": // than the write
		if point == "after the write" {
			s.kept[s.key(name)] = slot{before.token, value}
		}
	}
	return nil
}

// TestRun proves that a guard that keeps the rule passes.
func TestRun(t *testing.T) {
	Run(t, func(*testing.T) Resource { return newShelf("") })
}

// prove runs everything and returns the first failure.
func prove(t *testing.T, fault string) error {
	for _, x := range trials() {
		if err := x.run(t.Context(), newShelf(fault)); err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
	}
	for _, point := range newShelf(fault).CrashPoints() {
		if err := crash(t.Context(), newShelf(fault), point); err != nil {
			return fmt.Errorf("crash %s: %w", point, err)
		}
	}
	return nil
}

// TestFaultsAreFound proves that each way to guard badly is found.
func TestFaultsAreFound(t *testing.T) {
	for _, fault := range []string{"no guard", "text", "32 bits", "float", "equal refused",
		"one token for all", "names cut", "zero passes", "last seen", "check apart", "forgets",
		"token less durable"} {
		if err := prove(t, fault); err == nil {
			t.Errorf("%s: got no failure, want one", fault)
		} else {
			t.Logf("%s: %v", fault, err)
		}
	}
}
