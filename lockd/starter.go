package main

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// starterName is what a process of ours is called that waits to become a command.
const starterName = "lockd-start"

// What a starter has open beside the streams of the command.
const (
	starterGo   = 3 // a byte comes here when it is to begin, or an end if it never is
	starterFail = 4 // takes the error if it cannot; closed when the command runs
)

// startGuarded starts a command whose guard knows of its group before it runs. Were it
// told after, the command could begin, and start others, and lockd be killed before
// the guard has heard of any. So it is a starter at first, in the group of the command,
// that ends with lockd: only when what the guard needs is in its pipe, which outlives
// lockd, does it become the command. Without a guard the command starts at once.
func startGuarded(cmd *exec.Cmd, g *guard) error {
	if g == nil || cmd.Err != nil {
		return cmd.Start()
	}
	path := cmd.Path
	begin, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer told.Close()
	failed, fail, err := os.Pipe()
	if err != nil {
		begin.Close()
		return err
	}
	defer failed.Close()
	cmd.Args = append([]string{starterName, path}, cmd.Args...)
	cmd.Path, cmd.ExtraFiles = "/proc/self/exe", []*os.File{begin, fail}
	err = cmd.Start()
	begin.Close()
	fail.Close()
	if err != nil {
		return err
	}
	g.watch(cmd.Process.Pid)
	_, err = told.Write([]byte{'\n'})
	if text, _ := io.ReadAll(failed); err == nil && len(text) > 0 {
		n, _ := strconv.Atoi(string(text))
		err = &fs.PathError{Op: "exec", Path: path, Err: syscall.Errno(n)}
	}
	if err != nil {
		told.Close()
		_ = cmd.Wait() // it says no more than that it has ended
	}
	return err
}

// beStarter is the life of a starter: args are what it is called, the path of the
// command, and the arguments of that from its name on. It returns an exit code.
func beStarter(args []string) int {
	if len(args) < 3 {
		return exitFailure
	}
	syscall.CloseOnExec(starterGo)
	syscall.CloseOnExec(starterFail)
	var begin [1]byte
	if n, _ := syscall.Read(starterGo, begin[:]); n != 1 {
		return exitFailure
	}
	err := syscall.Exec(args[1], args[2:], os.Environ())
	if errno, ok := err.(syscall.Errno); ok {
		_, _ = syscall.Write(starterFail, strconv.AppendInt(nil, int64(errno), 10))
	}
	return exitNotRunnable
}
