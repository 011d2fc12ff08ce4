package main

import (
	"errors"
	"fmt"
)

// Exit codes. Those above 2 are the ones of sysexits.h and of flock(1), so that
// scripts can tell why a command did not run.
const (
	exitOK          = 0
	exitFailure     = 1  // also: the lock is held, with run -n or -w
	exitUsage       = 2  // the command line or the configuration is wrong
	exitUnavailable = 69 // no node answers for the lock
	exitUnprinted   = 74 // it is done, and what it found could not be printed
	exitLostBefore  = 75 // the lock was lost before the command started
	exitPermission  = 77 // see notPermitted
	exitLostRunning = 79 // the lock was lost while the command ran
	exitNotRunnable = 126
	exitNotFound    = 127
	exitSignal      = 128 // plus the number of the signal
)

// notPermitted is what exitPermission means, wherever a page says it.
const notPermitted = "the cluster does not permit it: kept for later, no node refuses that yet"

// exitMeaning is what an exit code means over all verbs.
type exitMeaning struct{ code, text string }

// exitMeanings lists the exit codes as lockd help and the documents do.
func exitMeanings() []exitMeaning {
	return []exitMeaning{
		{"0", "done; a verb that runs a command exits with the command's own code"},
		{"1", "refused or failed, as the message says: others hold the lock, it is not known, and so on"},
		{"2", "the command line or the configuration is wrong; nothing happened"},
		{"69", "no node answers, or no majority of those that keep the lock"},
		{"74", "what there is to print could not be printed; the rest is done: do not repeat it"},
		{"75", "the lock was lost before the command started, before the hold was printed, or " +
			"while a value was written"},
		{"77", notPermitted},
		{"79", "the lock was lost: while the command ran, or before release or renew came"},
		{"126", "the command cannot be run"},
		{"127", "the command is not found"},
		{"128+N", "signal N ended the command or the wait; 141: nobody reads the output any more"},
	}
}

// failure is an error that decides the exit code. A nil err prints nothing.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// failf makes a failure with a text.
func failf(code int, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

// exitCode is the code an error ends the process with.
func exitCode(err error) int {
	var f *failure
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		return f.code
	default:
		return exitFailure
	}
}
