package spec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrTools means that the models cannot be run here.
var ErrTools = errors.New("spec: spin and a C compiler are needed: apt-get install spin gcc")

// ErrRun is wrapped when a run does not show what it must.
var ErrRun = errors.New("spec: the run failed")

// What bounds a search. A search that would need more is not accepted.
const (
	depth         = 1_000_000
	hashBits      = 22
	memoryMiB     = 3072
	searchTimeout = 4 * time.Minute
	deepTimeout   = time.Hour
	deepHashBits  = 26
	// Most searches take a moment, less than compiling them well.
	optimizeLong  = "-O1"
	optimizeQuick = "-O0"
)

// Result is what a search came to.
type Result struct {
	States  uint64
	Seconds float64 // of the search alone
	// Violated says that an assertion failed.
	Violated bool
}

// Tools reports ErrTools, with what is missing, unless spin and a C compiler
// can be run.
func Tools() error {
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w (%s is not on PATH)", ErrTools, tool)
		}
	}
	return nil
}

// Check searches the model of r, which stands in dir, and says whether it shows
// what it must; the error says what was found instead. It makes files in a
// temporary directory only.
func Check(ctx context.Context, dir string, r *Run) (Result, error) {
	model, err := filepath.Abs(filepath.Join(dir, r.Model+".pml"))
	if err != nil {
		return Result{}, fmt.Errorf("spec: find the model: %w", err)
	}
	scratch, err := os.MkdirTemp("", "lockd-spec-")
	if err != nil {
		return Result{}, fmt.Errorf("spec: make a directory to search in: %w", err)
	}
	defer os.RemoveAll(scratch)
	limit, bits := searchTimeout, hashBits
	if r.Kind == Deep {
		limit, bits = deepTimeout, deepHashBits
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	flags := append([]string{"-a"}, r.Flags...)
	if r.Kind.named() {
		flags = append(flags, "-DONLY="+r.Invariant)
	}
	text, err := command(ctx, scratch, "spin", append(flags, model)...)
	if err != nil || strings.Contains(text, "rror") {
		return Result{}, fmt.Errorf("%w: spin does not take the model (%v):\n%s", ErrRun, err, text)
	}
	optimize := optimizeQuick
	if r.Long || r.Kind == Deep {
		optimize = optimizeLong
	}
	text, err = command(ctx, scratch, "gcc", "-w", optimize, "-DSAFETY", "-DNOREDUCE",
		fmt.Sprintf("-DMEMLIM=%d", memoryMiB), "-o", "pan", "pan.c")
	if err != nil {
		return Result{}, fmt.Errorf("%w: the search does not compile (%v):\n%s", ErrRun, err, text)
	}
	// -E: a model may come to rest anywhere; where it must not, it says so itself.
	// pan exits with 1 when it finds an error: its text says what happened.
	text, err = command(ctx, scratch, "./pan", "-n", "-E", fmt.Sprintf("-m%d", depth),
		fmt.Sprintf("-w%d", bits))
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("%w: the search took longer than %s: %w", ErrRun, limit, ctx.Err())
	}
	found, parseErr := read(text)
	if parseErr != nil {
		return found, fmt.Errorf("%w (%v)", parseErr, err)
	}
	return found, r.judge(&found)
}

// command runs a program in dir and returns all it says.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	text, err := cmd.CombinedOutput()
	return string(text), err
}

var (
	statesLine  = regexp.MustCompile(`(?m)^\s*([0-9.e+]+) states, stored`)
	errorsLine  = regexp.MustCompile(`errors: ([0-9]+)`)
	elapsedLine = regexp.MustCompile(`elapsed time ([0-9.]+) seconds`)
)

// read understands what a search printed. The error wraps ErrRun if the search
// was cut short, or ended for another reason than the end of the states or a
// failed assertion.
func read(text string) (Result, error) {
	var found Result
	for _, cut := range []string{
		"max search depth too small", "out of memory", "memory limit", "aborting",
		"hash-table full", "interrupted",
	} {
		if strings.Contains(text, cut) {
			return found, fmt.Errorf("%w: the search was cut short (%s):\n%s", ErrRun, cut, text)
		}
	}
	states := statesLine.FindStringSubmatch(text)
	failed := errorsLine.FindStringSubmatch(text)
	if states == nil || failed == nil {
		return found, fmt.Errorf("%w: the search printed no result:\n%s", ErrRun, text)
	}
	count, err := strconv.ParseFloat(states[1], 64)
	if err != nil {
		return found, fmt.Errorf("%w: the search printed %q states", ErrRun, states[1])
	}
	found.States = uint64(count)
	if elapsed := elapsedLine.FindStringSubmatch(text); elapsed != nil {
		found.Seconds, _ = strconv.ParseFloat(elapsed[1], 64)
	}
	found.Violated = strings.Contains(text, "assertion violated")
	if (failed[1] != "0") != found.Violated {
		return found, fmt.Errorf("%w: the search ended without a failed assertion:\n%s", ErrRun, text)
	}
	return found, nil
}

// judge compares what was found with what the run must show.
func (r *Run) judge(found *Result) error {
	switch {
	case r.Kind.exhaustive() && found.Violated:
		return fmt.Errorf("%w: an invariant is broken", ErrRun)
	case r.Kind.named() && !found.Violated:
		return fmt.Errorf("%w: %s holds without the rule", ErrRun, r.Invariant)
	case r.Kind == Reached && !found.Violated:
		return fmt.Errorf("%w: the state is never reached", ErrRun)
	}
	return nil
}

// Verdict is the last word of a good run's line.
func (k Kind) Verdict() string {
	switch k {
	case Holds, Deep:
		return "ok"
	case Fails:
		return "fails as it must"
	case Open:
		return "open, a known gap"
	case Reached:
		return "reached"
	default:
		panic(fmt.Sprintf("spec: kind %q", k))
	}
}
