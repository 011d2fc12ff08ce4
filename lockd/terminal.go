package main

import (
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// lendTerminal makes the group of cmd the one that may read the terminal, if
// standard input is our controlling terminal and we have it now, and returns it: nil
// if not. Without this a command in a group of its own would be stopped at its first
// read.
func lendTerminal(sh *shell, cmd *exec.Cmd) *os.File {
	if sh.in == nil || !ownsTerminal(sh.in) {
		return nil
	}
	// The child sets the group from the background, and so do we afterwards.
	signal.Ignore(syscall.SIGTTOU)
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = int(sh.in.Fd())
	return sh.in
}

// takeBack gives the terminal, if it was lent, back to our own group. The one way the
// standard library has to do that is a process which joins our group as it starts.
func takeBack(terminal *os.File) {
	if terminal == nil {
		return
	}
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
	p := readProcess("self")
	return p.tty != 0 && p.tty == device.Rdev && p.front == syscall.Getpgrp()
}

// process is what the kernel tells of one: the zero value of one that is gone.
type process struct {
	state string // one letter, T if it is stopped
	tty   uint64 // the terminal that controls it, zero if none does
	front int    // the group in the foreground there
}

// readProcess reads of a process by its number, or of this one as self.
func readProcess(pid string) process {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return process{}
	}
	// After the name in parentheses: state, parent, group, session, terminal
	// device, foreground group of the terminal.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 6 {
		return process{}
	}
	tty, err1 := strconv.ParseInt(fields[4], 10, 64)
	front, err2 := strconv.Atoi(fields[5])
	if err1 != nil || err2 != nil {
		return process{}
	}
	return process{state: fields[0], tty: uint64(tty), front: front}
}
