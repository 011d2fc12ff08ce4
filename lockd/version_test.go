package main

import (
	"errors"
	"io/fs"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
)

// TestBuildIsNamed proves that a binary of a plain go build names its commit, as its nodes
// show it in lockd cluster status.
func TestBuildIsNamed(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "dc5c580f00ba44"}
	for _, row := range []struct {
		settings []debug.BuildSetting
		want     string
	}{
		{nil, "unknown"},
		{[]debug.BuildSetting{{Key: "vcs.modified", Value: "true"}}, "unknown"},
		{[]debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}}, "dc5c580"},
		{[]debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, revision}, "dc5c580-dirty"},
	} {
		if got := commitOf(row.settings); got != row.want {
			t.Errorf("%v: got %q, want %q", row.settings, got, row.want)
		}
	}
}

// fullDevice takes nothing, like /dev/full.
type fullDevice struct{}

func (fullDevice) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// TestHelpThatIsNotPrintedIsAnError proves that no page is lost without a word.
func TestHelpThatIsNotPrintedIsAnError(t *testing.T) {
	for _, line := range []string{"help", "help run", "run --help", "help cluster", "version"} {
		var problems strings.Builder
		sh := &shell{out: fullDevice{}, err: &problems}
		code := sh.run(strings.Fields(line))
		if code != exitFailure || !strings.Contains(problems.String(), "no space") {
			t.Errorf("%q: got exit code %d and %q, want %d and why", line, code, problems.String(),
				exitFailure)
		}
	}
}

// TestHoldIsSignedWithoutAUser proves that the label of a hold names a user where the
// environment does not.
func TestHoldIsSignedWithoutAUser(t *testing.T) {
	for _, row := range []struct {
		env  []string
		want string
	}{
		{nil, "uid"},
		{[]string{"USER="}, "uid"},
		{[]string{"LOGNAME=ann"}, "ann@"},
		{[]string{"LOGNAME=ann", "USER=bob"}, "bob@"},
	} {
		if got := takenBy(&shell{env: row.env}); !strings.HasPrefix(got, row.want) ||
			strings.HasPrefix(got, "uid@") || strings.HasSuffix(got, "@") {
			t.Errorf("%q: got %q, want %q and more", row.env, got, row.want)
		}
	}
}

// TestCommandThatCannotRunIsNamedOnce proves that the name does not stand twice.
func TestCommandThatCannotRunIsNamedOnce(t *testing.T) {
	err := startFailure("/etc/passwd", &fs.PathError{Op: "fork/exec", Path: "/etc/passwd",
		Err: syscall.EACCES})
	if exitCode(err) != exitNotRunnable || err.Error() != "/etc/passwd: permission denied" ||
		!errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %d, %v, want %d and the name once", exitCode(err), err, exitNotRunnable)
	}
}
