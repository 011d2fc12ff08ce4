package faulttest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runInheritedSignals: a command gets the signals as they were where lockd was started,
// none of them ignored besides, and those that were ignored there are not passed on.
func runInheritedSignals(t *testing.T, c *Cluster) {
	ignored := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(within(t, 20*time.Second), "sh", append([]string{"-c",
			`trap "" HUP; exec "$@"`, "x"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v and %s", args, err, out)
		}
		return string(out)
	}
	look := []string{"grep", "SigIgn", "/proc/self/status"}
	want := ignored(look...)
	if got := ignored(append([]string{lockdPath, "run", "--addr", c.Nodes[0].Client, "inherited",
		"--"}, look...)...); got != want {
		t.Errorf("got %q, want %q as without lockd", got, want)
	}

	file := filepath.Join(t.TempDir(), "pid")
	cmd := exec.CommandContext(within(t, 20*time.Second), "sh", "-c", `trap "" HUP; exec "$@"`, "x",
		lockdPath, "run", "--addr", c.Nodes[0].Client, "nohup", "--", "sh", "-c",
		`echo $$ > "$0"; exec sleep 100`, file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := workerPid(t, file)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if gone(pid, 300*time.Millisecond) {
		t.Error("the command of a lockd run that was started with nohup ended by SIGHUP")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 128+int(syscall.SIGTERM) {
		t.Errorf("got exit code %d, want %d", got, 128+15)
	}
}

// runInheritedFiles: what is open where lockd is started is open to the command under
// the same number, and nothing else is.
func runInheritedFiles(t *testing.T, c *Cluster) {
	dir := t.TempDir()
	call := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(within(t, 20*time.Second), "sh", append([]string{"-c",
			`exec 3>"$DIR/3" 4>"$DIR/4" 7</dev/null; exec "$@"`, "x"}, args...)...)
		cmd.Env = append(os.Environ(), "DIR="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v and %s", args, err, out)
		}
		return string(out)
	}
	under := []string{lockdPath, "run", "--addr", c.Nodes[0].Client, "files", "--"}
	look := []string{"ls", "/proc/self/fd"}
	want := call(look...)
	if got := call(slices.Concat(under, look)...); got != want {
		t.Errorf("got %q open, want %q as without lockd", got, want)
	}
	call(slices.Concat(under, []string{"sh", "-c", "echo 3 >&3; echo 4 >&4"})...)
	for _, name := range []string{"3", "4"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != name+"\n" {
			t.Errorf("got %q and %v in the file that is open as %s", got, err, name)
		}
	}
}

// runOnTerminal types at a command that lockd run has given its terminal: what it
// reads, Ctrl-Z, which does not suspend it, and Ctrl-C, which ends it.
func runOnTerminal(t *testing.T, c *Cluster) {
	script, err := exec.LookPath("script") // of util-linux: it has a terminal
	if err != nil {
		t.Skip("NOT RUN: there is no script(1), so nothing was typed at a terminal")
	}
	for _, row := range []struct{ name, typed, want, not string }{
		{"Read", "typed\n", "got typed", ""},
		{"Suspend", "\x1atyped\n", "got typed", ""},
		{"Interrupt", "\x03", "code 130", "got"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			cmd := exec.CommandContext(within(t, 20*time.Second), script, "-qc",
				`"$LOCKD" run --addr "$ADDR" terminal -- sh -c 'echo $$ > "$FILE"; read x; echo got $x'
				 echo code $?`, "/dev/null")
			cmd.Env = append(os.Environ(), "LOCKD="+lockdPath, "ADDR="+c.Nodes[0].Client,
				"FILE="+file, "SHELL=/bin/sh")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			workerPid(t, file)
			time.Sleep(200 * time.Millisecond) // until it reads
			for _, key := range row.typed {
				if _, err := io.WriteString(in, string(key)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			err = cmd.Wait()
			if got := out.String(); err != nil || !strings.Contains(got, row.want) ||
				row.not != "" && strings.Contains(got, row.not) {
				t.Errorf("got %v and %q, want %q", err, got, row.want)
			}
		})
	}
}

// typed calls lockd at a terminal and returns what that shows.
func typed(t *testing.T, env []string, args ...string) string {
	t.Helper()
	script, err := exec.LookPath("script") // of util-linux: it has a terminal
	if err != nil {
		t.Skip("NOT RUN: there is no script(1), so nothing was typed at a terminal")
	}
	words := []string{"'" + lockdPath + "'"}
	for _, arg := range args {
		words = append(words, "'"+arg+"'")
	}
	cmd := exec.CommandContext(within(t, 20*time.Second), script, "-qc", strings.Join(words, " "),
		"/dev/null")
	cmd.Env = append(append(os.Environ(), "SHELL=/bin/sh"), env...)
	out, _ := cmd.Output() // the exit code is that of script
	return string(out)
}

// runEverySignal sends lockd run each signal that can be caught and means something to a
// command: each arrives once, and the exit code is what the command makes of it.
func runEverySignal(t *testing.T, c *Cluster) {
	file := filepath.Join(t.TempDir(), "got")
	s := startRun(t, c, "every signal", "--", "sh", "-c", `
		for s in HUP INT QUIT USR1 USR2 ALRM CONT WINCH; do trap "echo $s >> $0.all" $s; done
		trap 'exit 7' TERM
		echo ready > "$0"; while :; do sleep 0.01; done`, file)
	awaitFile(t, file)
	for i, x := range []struct {
		name string
		sig  syscall.Signal
	}{{"HUP", syscall.SIGHUP}, {"INT", syscall.SIGINT}, {"QUIT", syscall.SIGQUIT},
		{"USR1", syscall.SIGUSR1}, {"USR2", syscall.SIGUSR2}, {"ALRM", syscall.SIGALRM},
		{"CONT", syscall.SIGCONT}, {"WINCH", syscall.SIGWINCH}} {
		if err := s.cmd.Process.Signal(x.sig); err != nil {
			t.Fatal(err)
		}
		ctx := within(t, 10*time.Second)
		var got []string
		for len(got) <= i && ctx.Err() == nil {
			text, _ := os.ReadFile(file + ".all") // at first there is none
			got = strings.Fields(string(text))
			pause(ctx, 5*time.Millisecond)
		}
		if len(got) != i+1 || got[i] != x.name {
			t.Fatalf("after %s: got %q, want it once, as the last", x.name, got)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := s.code(t); got != 7 {
		t.Errorf("got exit code %d and %q, want 7, which the command chose", got, s.out.String())
	}
}
