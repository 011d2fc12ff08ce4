package mutants

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// TestListFitsTheTree: each mutant's lines stand in their file once, and its test
// is there, so that a change of a rule brings its mutant along.
func TestListFitsTheTree(t *testing.T) {
	text, err := os.ReadFile("rules.txt")
	if err != nil {
		t.Fatal(err)
	}
	list, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 85 {
		t.Errorf("got %d mutants, want 85 at least", len(list))
	}
	for i := range list {
		m := &list[i]
		if _, err := m.overlay(root, t.TempDir()); err != nil {
			t.Errorf("%s, %s: %v", m.Row, m.Rule, err)
		}
		if !hasTest(t, filepath.Join(root, m.Package), m.Test) {
			t.Errorf("%s, %s: got no %s in %s, want one", m.Row, m.Rule, m.Test, m.Package)
		}
	}
}

func hasTest(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+test+"(") {
			return true
		}
	}
	return false
}

func TestBadListsAreRefused(t *testing.T) {
	const good = "row: F-D1\nrule: r\nfile: a.go f\n-\told\n+\tnew\ntest: ./wal TestX"
	if list, err := Parse(good + "\n\n" + good + "\ntags: fault\n"); err != nil || len(list) != 2 {
		t.Fatalf("got %d mutants, %v, want 2", len(list), err)
	}
	for name, bad := range map[string]string{
		"unknown":   good + "\ncolour: red",
		"no test":   strings.Replace(good, "test", "tags", 1),
		"no change": strings.Replace(good, "new", "old", 1),
		"no file":   strings.Replace(good, "file: a.go f\n", "", 1),
	} {
		if _, err := Parse(bad); !errors.Is(err, ErrList) {
			t.Errorf("%s: got %v, want ErrList", name, err)
		}
	}
}

func TestStaleMutantIsNoticed(t *testing.T) {
	m := Mutant{Edits: []Edit{{File: "lockd/mutants/doc.go", Old: "no such line\n", New: "x\n"}}}
	if _, err := m.overlay(root, t.TempDir()); !errors.Is(err, ErrStale) {
		t.Errorf("got %v, want ErrStale", err)
	}
}
