package paxostest

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs the conversations in testdata/paxos. After a change that
// means to alter them: go test ./paxos/paxostest -run TestScripts -rewrite, and
// commit a rewritten line only if you can say what caused it.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/paxos/*.txt")
	if err != nil || len(paths) < 15 {
		t.Fatalf("got %d scripts (%v), want at least 15", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			var env Env
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				var args []Arg
				for _, a := range d.CmdArgs {
					args = append(args, Arg{Key: a.Key, Value: strings.Join(a.Vals, ",")})
				}
				return env.Do(d.Cmd, args)
			})
		})
	}
}
