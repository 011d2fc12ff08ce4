package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"lockd/lockd/config"
)

func TestNodeThatDoesNotFitTheMachineIsRefused(t *testing.T) {
	c := config.Defaults()
	if err := checkMachine(&c, c.Memory().Sum(), "the machine"); err != nil {
		t.Errorf("with just enough: %v", err)
	}
	if err := checkMachine(&c, 0, ""); err != nil {
		t.Errorf("with a machine nobody knows: %v", err)
	}
	err := checkMachine(&c, c.Memory().Sum()-1, "the control group")
	for _, want := range []string{"cluster.limits.memory", "the control group has"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestMemoryOfTheMachineIsRead(t *testing.T) {
	if got := memTotal("MemTotal:       24576 kB\nMemFree: 1 kB\n"); got != 24<<20 {
		t.Errorf("meminfo: got %d, want %d", got, 24<<20)
	}
	for text, want := range map[string]uint64{
		"max\n": 0, "": 0, "9223372036854771712\n": 0, "1073741824\n": 1 << 30,
	} {
		if got := cgroupLimit(text); got != want {
			t.Errorf("control group %q: got %d, want %d", text, got, want)
		}
	}
}

// TestFewFilesAreWarnedOf proves that a node says at its start that it may open too few
// files, and says nothing where there are enough.
func TestFewFilesAreWarnedOf(t *testing.T) {
	for limit, want := range map[uint64]string{
		64: "limit=64", 1023: "limit=1023", 1024: "", 65536: "",
	} {
		var out bytes.Buffer
		warnOfFiles(limit, slog.New(slog.NewTextHandler(&out, nil)))
		if got := out.String(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%d files: got %q, want %q", limit, got, want)
		}
	}
}
