package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Verdict is what became of a mutant.
type Verdict struct {
	// Noticed says that the test failed, and By is the first thing it said.
	Noticed bool
	By      string
	Took    time.Duration
}

var (
	// ErrStale means that a list names lines which do not stand in their file
	// once, or a test that does not run.
	ErrStale = errors.New("mutants: list does not fit the tree")
	// ErrBuild means that a mutant does not compile.
	ErrBuild = errors.New("mutants: does not build")
)

// Try runs the test of a mutant in the module at root. dir is an empty directory
// of the caller's.
func Try(ctx context.Context, root, dir string, m *Mutant) (Verdict, error) {
	overlay, err := m.overlay(root, dir)
	if err != nil {
		return Verdict{}, err
	}
	timeout := "3m"
	if m.Tags != "" {
		timeout = "15m" // real processes
	}
	args := []string{"test", "-count=1", "-vet=off", "-timeout=" + timeout, "-v",
		"-run", "^" + m.Test + "$"}
	if m.Tags != "" {
		args = append(args, "-tags", m.Tags)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, m.Package)...)
	cmd.Dir = root
	// What a test builds is to be the mutant, too.
	cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+overlay)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	v := Verdict{Took: time.Since(began)}
	text := string(out)
	switch {
	case ctx.Err() != nil:
		return v, ctx.Err()
	case strings.Contains(text, "[build failed]"), strings.Contains(text, "[setup failed]"):
		return v, fmt.Errorf("%w: %s: %s", ErrBuild, m.Test, text)
	case !strings.Contains(text, "=== RUN   "+m.Test), strings.Contains(text, "--- SKIP: "+m.Test+" "):
		return v, fmt.Errorf("%w: %s did not run: %s", ErrStale, m.Test, text)
	}
	v.Noticed = err != nil
	v.By = said(text)
	return v, nil
}

// overlay writes the mutant and the file that has go see it.
func (m *Mutant) overlay(root, dir string) (string, error) {
	replace := make(map[string]string)
	for i, e := range m.Edits {
		path, err := filepath.Abs(filepath.Join(root, e.File))
		if err != nil {
			return "", err
		}
		changed := filepath.Join(dir, fmt.Sprintf("mutant%d.go", i))
		if again, ok := replace[path]; ok {
			changed = again
		}
		if err := e.apply(path, replace[path], changed); err != nil {
			return "", err
		}
		replace[path] = changed
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("mutants: %w", err)
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, b, 0o600)
}

// apply writes the changed file. What an earlier edit made of it is in before,
// which may be empty.
func (e *Edit) apply(path, before, changed string) error {
	if before == "" {
		before = path
	}
	text, err := os.ReadFile(before)
	if err != nil {
		return fmt.Errorf("mutants: %w", err)
	}
	if n := strings.Count(string(text), e.Old); n != 1 {
		return fmt.Errorf("%w: %s has these lines %d times, want once:\n%s", ErrStale, e.File, n,
			e.Old)
	}
	return os.WriteFile(changed, []byte(strings.Replace(string(text), e.Old, e.New, 1)), 0o600)
}

// said is the first thing that a failed test said.
func said(text string) string {
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		_, rest, ok := strings.Cut(line, "_test.go:")
		if _, message, cut := strings.Cut(rest, ": "); ok && cut {
			return message
		}
		if strings.HasPrefix(line, "panic: ") {
			return line
		}
	}
	return "it failed"
}
