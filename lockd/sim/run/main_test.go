package main

import (
	"strconv"
	"strings"
	"testing"
)

// The command that a report names runs the very same world.
func TestCommandRepeatsTheWorld(t *testing.T) {
	for _, line := range []string{"", "-short", "-short -without crash in turn,cut"} {
		first := settingsOf(t, line)
		var seed uint64 = 4
		want := first.world(seed)
		_, args, found := strings.Cut(want.Command, "/sim/run ")
		if !found {
			t.Fatalf("no arguments in %q", want.Command)
		}
		again := settingsOf(t, args)
		if got := again.world(again.seed); got.Trace != want.Trace || got.Events != want.Events {
			t.Errorf("%q: trace %016x of %d events, want %016x of %d by flags %q", want.Command,
				got.Trace, got.Events, want.Trace, want.Events, line)
		}
	}
}

// settingsOf parses what a shell would take apart: a value may be quoted, and
// -without comes last.
func settingsOf(t *testing.T, line string) *settings {
	t.Helper()
	line, without, found := strings.Cut(line, "-without ")
	args := strings.Fields(line)
	if found {
		if plain, err := strconv.Unquote(without); err == nil {
			without = plain
		}
		args = append(args, "-without", without)
	}
	var s settings
	if err := s.parse(args); err != nil {
		t.Fatal(err)
	}
	return &s
}
