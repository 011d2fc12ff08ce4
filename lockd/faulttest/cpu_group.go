package faulttest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrNoCgroups means that this machine cannot limit processes; the text says
// why. A test is skipped with it.
var ErrNoCgroups = errors.New("faulttest: no control groups")

// cgroupRoot is where control groups are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// Cgroup limits the CPU and the memory of some processes, by version 1 or 2 of
// the kernel's control groups. It belongs to one goroutine.
type Cgroup struct {
	cpu, memory string // directories; the same one in version 2
	unified     bool
}

// NewCgroup makes a group without limits. The caller must call Close.
func NewCgroup() (*Cgroup, error) {
	name := fmt.Sprintf("lockd-fault-%d-%d", os.Getpid(), time.Now().UnixNano())
	g := &Cgroup{
		cpu:    filepath.Join(cgroupRoot, "cpu", name),
		memory: filepath.Join(cgroupRoot, "memory", name),
	}
	controllers, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
	if g.unified = err == nil; g.unified {
		g.cpu = filepath.Join(cgroupRoot, name)
		g.memory = g.cpu
		for _, c := range []string{"cpu", "memory"} {
			if !strings.Contains(string(controllers), c) {
				return nil, fmt.Errorf("%w: the controller %s is not there", ErrNoCgroups, c)
			}
			// What is on already stays on; what cannot be shows below.
			_ = write(filepath.Join(cgroupRoot, "cgroup.subtree_control"), "+"+c)
		}
	}
	for _, dir := range []string{g.cpu, g.memory} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("%w: %w", ErrNoCgroups, err)
		}
	}
	return g, nil
}

func write(path, value string) error { return os.WriteFile(path, []byte(value), 0o600) }

// cpuPeriod is the time over which a share of CPU is given out: what a starved
// process waits for at most.
const cpuPeriod = 100 * time.Millisecond

// SetCPU gives all processes of the group together so much of one core, in
// thousandths; zero is no limit.
func (g *Cgroup) SetCPU(permille int) error {
	period := cpuPeriod.Microseconds()
	quota := strconv.FormatInt(max(1000, period*int64(permille)/1000), 10)
	if g.unified {
		if permille == 0 {
			quota = "max"
		}
		return write(filepath.Join(g.cpu, "cpu.max"), fmt.Sprintf("%s %d", quota, period))
	}
	if permille == 0 {
		quota = "-1"
	}
	return errors.Join(
		write(filepath.Join(g.cpu, "cpu.cfs_period_us"), strconv.FormatInt(period, 10)),
		write(filepath.Join(g.cpu, "cpu.cfs_quota_us"), quota))
}

// SetMemory lets the kernel kill a process of the group above so many bytes.
func (g *Cgroup) SetMemory(bytes int64) error {
	file := "memory.limit_in_bytes"
	if g.unified {
		file = "memory.max"
	}
	return write(filepath.Join(g.memory, file), strconv.FormatInt(bytes, 10))
}

// Add puts a process into the group.
func (g *Cgroup) Add(pid int) error {
	var problems []error
	for _, dir := range []string{g.cpu, g.memory} {
		problems = append(problems,
			write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)))
	}
	return errors.Join(problems...)
}

// Close takes the group away. Requires: its processes have ended.
func (g *Cgroup) Close() error {
	err := os.Remove(g.cpu)
	if !g.unified {
		err = errors.Join(err, os.Remove(g.memory))
	}
	return err
}
