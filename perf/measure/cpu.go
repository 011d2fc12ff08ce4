package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticksPerSecond is the unit of /proc times. Linux fixes it at 100 for user
// space whatever the kernel's own tick.
const ticksPerSecond = 100

// ProcessCPU is the CPU time, user and system, that a process has used so far,
// to 10 ms. It reads /proc/PID/stat.
func ProcessCPU(pid int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("measure: CPU of process %d: %w", pid, err)
	}
	used, err := parseStat(string(text))
	if err != nil {
		return 0, fmt.Errorf("measure: %s: %w", path, err)
	}
	return used, nil
}

// parseStat finds user and system time in a line of /proc/PID/stat. The
// program's name, in brackets, may contain anything, so fields are counted from
// its last bracket.
func parseStat(text string) (time.Duration, error) {
	_, rest, found := cutLast(text, ")")
	fields := strings.Fields(rest)
	const userField, systemField = 11, 12 // utime and stime, after the name
	if !found || len(fields) <= systemField {
		return 0, fmt.Errorf("want a line of process times, got %q", text)
	}
	user, err := strconv.ParseUint(fields[userField], 10, 63)
	if err != nil {
		return 0, fmt.Errorf("user time: %w", err)
	}
	system, err := strconv.ParseUint(fields[systemField], 10, 63)
	if err != nil {
		return 0, fmt.Errorf("system time: %w", err)
	}
	return time.Duration(user+system) * (time.Second / ticksPerSecond), nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// OwnCPU is the CPU time of this process so far.
func OwnCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("measure: own CPU: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// ResidentBytes is how much memory of a process is in RAM. It reads
// /proc/PID/statm.
func ResidentBytes(pid int) (uint64, error) {
	path := fmt.Sprintf("/proc/%d/statm", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("measure: memory of process %d: %w", pid, err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("measure: %s: want a line of sizes, got %q", path, text)
	}
	pages, err := strconv.ParseUint(fields[1], 10, 40)
	if err != nil {
		return 0, fmt.Errorf("measure: %s: %w", path, err)
	}
	return pages * uint64(os.Getpagesize()), nil
}

// SystemCPU is the time all processors of the machine have spent so far.
type SystemCPU struct {
	Busy  time.Duration // running anything, ours or not
	Steal time.Duration // taken away by the host
}

// ReadSystemCPU reads /proc/stat.
func ReadSystemCPU() (SystemCPU, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return SystemCPU{}, fmt.Errorf("measure: CPU of the machine: %w", err)
	}
	used, err := parseSystem(string(text))
	if err != nil {
		return SystemCPU{}, fmt.Errorf("measure: /proc/stat: %w", err)
	}
	return used, nil
}

// parseSystem reads the first line of /proc/stat: cpu user nice system idle
// iowait irq softirq steal …
func parseSystem(text string) (SystemCPU, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return SystemCPU{}, fmt.Errorf("want the line of all processors, got %q", line)
	}
	var ticks [8]uint64
	for i := range ticks {
		n, err := strconv.ParseUint(fields[i+1], 10, 63)
		if err != nil {
			return SystemCPU{}, fmt.Errorf("field %d: %w", i+1, err)
		}
		ticks[i] = n
	}
	const unit = time.Second / ticksPerSecond
	busy := ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]
	return SystemCPU{
		Busy:  time.Duration(busy) * unit,
		Steal: time.Duration(ticks[7]) * unit,
	}, nil
}
