package measure

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine describes where figures were measured. Without it they mean nothing.
type Machine struct {
	CPU         string        `json:"cpu"`
	Cores       int           `json:"cores"`
	MemoryBytes uint64        `json:"memory_bytes"`
	Kernel      string        `json:"kernel"`
	Go          string        `json:"go"`
	FileSystem  string        `json:"file_system"`      // of the servers' directories
	Load        string        `json:"load"`             // averages before the first round
	SyncAlone   time.Duration `json:"sync_alone_ns"`    // p50 of one writer
	SyncOfThree time.Duration `json:"sync_of_three_ns"` // p50 of each of three at once
	Measured    time.Time     `json:"measured"`
}

// Describe looks at the machine and at the disk under dir. It measures the disk
// for about a second.
func Describe(dir string) (Machine, error) {
	m := Machine{
		CPU:         cpuModel(readText("/proc/cpuinfo")),
		Cores:       runtime.NumCPU(),
		MemoryBytes: memoryBytes(readText("/proc/meminfo")),
		Kernel:      strings.TrimSpace(readText("/proc/sys/kernel/osrelease")),
		Go:          runtime.Version(),
		Load:        loadAverages(readText("/proc/loadavg")),
		Measured:    time.Now().UTC(),
	}
	var err error
	if m.FileSystem, err = fileSystem(dir); err != nil {
		return Machine{}, err
	}
	if m.SyncAlone, err = syncLatency(dir, 1); err != nil {
		return Machine{}, err
	}
	if m.SyncOfThree, err = syncLatency(dir, 3); err != nil {
		return Machine{}, err
	}
	return m, nil
}

// readText reads a file of /proc, or nothing where there is none: a description
// may have holes.
func readText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}

// cpuModel finds the first processor's name in /proc/cpuinfo.
func cpuModel(text string) string {
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// memoryBytes finds the machine's memory in /proc/meminfo, or 0.
func memoryBytes(text string) uint64 {
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, "MemTotal:")
		if !found {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 50)
		if err != nil {
			return 0
		}
		return kib * 1024
	}
	return 0
}

// loadAverages keeps the three averages of /proc/loadavg.
func loadAverages(text string) string {
	fields := strings.Fields(text)
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// fileSystem names the file system of a directory.
func fileSystem(dir string) (string, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return "", fmt.Errorf("measure: file system of %s: %w", dir, err)
	}
	names := map[uint32]string{
		0xef53:     "ext4",
		0x58465342: "xfs",
		0x9123683e: "btrfs",
		0x01021994: "tmpfs: syncs cost nothing here",
		0x794c7630: "overlay",
		0x2fc12fc1: "zfs",
	}
	if name := names[uint32(stat.Type)]; name != "" {
		return name, nil
	}
	return fmt.Sprintf("type %#x", uint32(stat.Type)), nil
}
