package launch

import "os/exec"

// awaitExit waits in a goroutine for a process to end and closes exited.
// Process.begin starts it; the end of the process stops it.
func awaitExit(cmd *exec.Cmd, exited chan<- struct{}) {
	go func() {
		// How it ended is in cmd.ProcessState, which readers see after the close.
		_ = cmd.Wait()
		close(exited)
	}()
}
