package main

import (
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// takeTerminal makes the group of cmd the one that may read the terminal, if
// standard input is our controlling terminal and we have it now. The returned
// function takes it back. Without this a command in a group of its own would be
// stopped at its first read.
func takeTerminal(sh *shell, cmd *exec.Cmd) (restore func()) {
	if sh.in == nil || !ownsTerminal(sh.in) {
		return func() {}
	}
	// The child sets the group from the background, and so do we afterwards.
	signal.Ignore(syscall.SIGTTOU)
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = int(sh.in.Fd())
	return func() { takeBack(sh.in) }
}

// takeBack gives the terminal back to our own group. The one way the standard
// library has to do that is a process which joins our group as it starts.
func takeBack(terminal *os.File) {
	self, err := os.Executable()
	if err != nil {
		return // the shell that started us takes the terminal itself
	}
	cmd := exec.Command(self, "version")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true,
		Pgid:       syscall.Getpgrp(),
		Foreground: true,
		Ctty:       int(terminal.Fd()),
	}
	_ = cmd.Run() // as above
}

// ownsTerminal says whether f is the terminal that controls this process, and
// this process's group the one in the foreground.
func ownsTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	device, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return false
	}
	// After the name in parentheses: state, parent, group, session, terminal
	// device, foreground group of the terminal.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 6 {
		return false
	}
	tty, err1 := strconv.ParseInt(fields[4], 10, 64)
	front, err2 := strconv.Atoi(fields[5])
	return err1 == nil && err2 == nil && tty != 0 && uint64(tty) == device.Rdev &&
		front == syscall.Getpgrp()
}
