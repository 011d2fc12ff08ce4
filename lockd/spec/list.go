package spec

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// Kind says what a run has to show.
type Kind string

// The kinds of a run; the package comment says what each asks.
const (
	Holds   Kind = "holds"
	Deep    Kind = "deep"
	Fails   Kind = "fails"
	Open    Kind = "open"
	Reached Kind = "reached"
)

// exhaustive says whether a run of this kind must see every state.
func (k Kind) exhaustive() bool { return k == Holds || k == Deep }

// named says whether a run of this kind names an invariant.
func (k Kind) named() bool { return k == Fails || k == Open }

// Run is one search: a model with flags, and what it must show.
type Run struct {
	Model     string // file name without .pml
	Kind      Kind
	Name      string
	Invariant string // of Fails and Open: what must break
	// Long says that the search takes longer than compiling it well does.
	Long  bool
	Flags []string // -DNAME or -DNAME=VALUE, as spin takes them
}

// String names the run as people ask for it.
func (r *Run) String() string {
	words := []string{r.Model, string(r.Kind), r.Name}
	if r.Invariant != "" {
		words = append(words, r.Invariant)
	}
	return strings.Join(words, " ")
}

// longFlag is the first flag of a long search.
const longFlag = "-O"

// flagForm is what the other flags look like.
var flagForm = regexp.MustCompile(`^-D[A-Z][A-Z0-9_]*(=[0-9]+)?$`)

// List reads the runs of all models in the root of fsys, model by model in the
// order of their names, each model's in the order they are written.
func List(fsys fs.FS) ([]Run, error) {
	names, err := fs.Glob(fsys, "*.pml")
	if err != nil {
		return nil, fmt.Errorf("spec: list models: %w", err)
	}
	slices.Sort(names)
	var runs []Run
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("spec: read a model: %w", err)
		}
		found, err := parse(strings.TrimSuffix(name, ".pml"), string(text))
		if err != nil {
			return nil, err
		}
		runs = append(runs, found...)
	}
	return runs, nil
}

// parse reads the runs of one model from its first comment.
func parse(model, text string) ([]Run, error) {
	head, _, closed := strings.Cut(text, "*/")
	if !closed {
		return nil, fmt.Errorf("spec: %s.pml has no first comment", model)
	}
	var runs []Run
	for line := range strings.Lines(head) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "*"))
		if len(words) == 0 || words[0] != "run" {
			continue
		}
		r, err := parseRun(model, words[1:])
		if err != nil {
			return nil, fmt.Errorf("%w: %q", err, strings.TrimSpace(line))
		}
		if slices.ContainsFunc(runs, func(old Run) bool { return old.String() == r.String() }) {
			return nil, fmt.Errorf("spec: %s.pml names a run twice: %s", model, r.String())
		}
		runs = append(runs, r)
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("spec: %s.pml names no run", model)
	}
	return runs, nil
}

// parseRun reads what stands behind the word "run".
func parseRun(model string, words []string) (Run, error) {
	if len(words) < 2 {
		return Run{}, fmt.Errorf("spec: %s.pml: a run needs a kind and a name", model)
	}
	r := Run{Model: model, Kind: Kind(words[0]), Name: words[1], Flags: words[2:]}
	switch r.Kind {
	case Holds, Deep, Fails, Open, Reached:
	default:
		return Run{}, fmt.Errorf("spec: %s.pml: %q is no kind of run", model, r.Kind)
	}
	if r.Kind.named() {
		if len(r.Flags) == 0 || strings.HasPrefix(r.Flags[0], "-") {
			return Run{}, fmt.Errorf("spec: %s.pml: the run names no invariant", model)
		}
		r.Invariant, r.Flags = r.Flags[0], r.Flags[1:]
	}
	if len(r.Flags) > 0 && r.Flags[0] == longFlag {
		r.Long, r.Flags = true, r.Flags[1:]
	}
	for _, f := range r.Flags {
		if !flagForm.MatchString(f) {
			return Run{}, fmt.Errorf("spec: %s.pml: %q is no flag", model, f)
		}
	}
	return r, nil
}
