package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"lockd/perf/launch"
	"lockd/perf/measure"
	"lockd/perf/target"
	"lockd/perf/workload"
)

// What perf and a client process of it say to each other, a line each: the task,
// then "ready" when it is warm, "go" when all are, and the result.
const (
	readyLine = "ready\n"
	goLine    = "go\n"
)

// task is what a client process is told.
type task struct {
	Target    string        `json:"target"`
	Addresses []string      `json:"addresses"`
	Load      workload.Load `json:"load"`
	// Keys begins those that the processes share.
	Keys string `json:"keys"`
}

// child is a client process under way.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// runClients runs a load in load.Clients processes, each with a share of it, and
// lets all begin to count at the same time. It returns the CPU time that they
// used while they counted.
func runClients(ctx context.Context, name string, c *launch.Cluster, load workload.Load,
	began func()) (workload.Result, time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // kills what is left
	var children []*child
	defer func() {
		for _, one := range children {
			_ = one.in.Close()
			_ = one.cmd.Wait() // what went wrong, its output has told
		}
	}()
	keys := workload.NewKeys()
	for i := range load.Clients {
		one, err := startChild(ctx, task{Target: name, Addresses: c.Addresses, Load: load.Share(i),
			Keys: keys})
		if err != nil {
			return workload.Result{}, 0, err
		}
		children = append(children, one)
	}
	for _, one := range children {
		if line, err := one.out.ReadString('\n'); err != nil || line != readyLine {
			cancel()
			return workload.Result{}, 0, fmt.Errorf("client process: want ready, got %q: %w", line, err)
		}
	}
	began()
	for _, one := range children {
		if _, err := io.WriteString(one.in, goLine); err != nil {
			cancel()
			return workload.Result{}, 0, fmt.Errorf("client process: %w", err)
		}
	}
	var parts []workload.Result
	for _, one := range children {
		var part workload.Result
		if err := json.NewDecoder(one.out).Decode(&part); err != nil {
			cancel()
			return workload.Result{}, 0, fmt.Errorf("client process: result: %w", err)
		}
		parts = append(parts, part)
	}
	result, cpu, err := workload.Merge(parts)
	return result, cpu, err
}

// startChild starts a client process, perf itself, and hands it its task.
func startChild(ctx context.Context, t task) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "load")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("client process: %w", err)
	}
	text, err := json.Marshal(t)
	if err == nil {
		_, err = in.Write(append(text, '\n'))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("client process: %w", err), cmd.Process.Kill())
	}
	return &child{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

// loadCommand is a client process: it reads its task, runs it and tells what it
// saw.
func loadCommand(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	var t task
	if err := json.Unmarshal(text, &t); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	found, err := target.Find([]string{t.Target}, target.Programs{})
	if err != nil {
		return err
	}
	cluster := &launch.Cluster{Addresses: t.Addresses}
	client, err := found[0].Open(ctx, cluster)
	if err != nil {
		return fmt.Errorf("load: connect to %s: %w", t.Target, err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	var before time.Duration
	var beganErr error
	began := func() {
		_, err := io.WriteString(out, readyLine)
		if err == nil {
			_, err = lines.ReadString('\n')
		}
		var cpuErr error
		before, cpuErr = measure.OwnCPU()
		beganErr = errors.Join(err, cpuErr)
	}
	subject := workload.Subject{Clients: [2]target.Locker{client, client}, Cluster: cluster,
		Keys: t.Keys}
	result, err := workload.Run(ctx, subject, t.Load, began)
	if err = errors.Join(err, beganErr); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	after, err := measure.OwnCPU()
	if err = errors.Join(err, result.Export(after-before)); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}
