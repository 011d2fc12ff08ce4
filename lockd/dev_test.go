package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"lockd/lockd/config"
)

// TestLimitsOfDevAreAsSaid holds what the help and the manual say of lockd dev and of the
// defaults against the limits that follow from the settings.
func TestLimitsOfDevAreAsSaid(t *testing.T) {
	sh := &shell{err: io.Discard}
	small := devCluster{dir: t.TempDir(), port: 7600}
	dev, err := loadConfigFlags(sh, small.flags(0))
	if err != nil {
		t.Fatal(err)
	}
	_, help, _ := call("help", "dev")
	for _, want := range []string{fmt.Sprintf("%d locks", dev.Limits.Locks),
		fmt.Sprintf("%d detached", dev.Limits.Detached),
		fmt.Sprintf("%dKiB", dev.Limits.DataBytes>>10)} {
		if !strings.Contains(strings.ReplaceAll(help, "\n", " "), want) {
			t.Errorf("help dev does not say %q", want)
		}
	}
	manual, err := os.ReadFile("doc/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	given := slices.DeleteFunc(small.flags(0), func(g config.Given) bool {
		return g.Flag == "limit-memory"
	})
	whole, err := loadConfigFlags(sh, given)
	if err != nil {
		t.Fatal(err)
	}
	n := whole.Limits.Sessions
	if want := fmt.Sprintf("a group takes %d,%03d sessions", n/1000, n%1000); !strings.Contains(
		string(manual), want) {
		t.Errorf("operations.md does not say %q", want)
	}
}
